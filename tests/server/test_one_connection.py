"""One request has one connection, whichever of its threads asks."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness.load import Plan, Request, run
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.site.threads import LEFT
from tests.sites import Answer, Site

Serve = Callable[..., Site]

ASKS = "tests.site.threads.asks"
POOLED = "pooled_db.middleware.PooledConnectionMiddleware"
#: A pool that refuses nobody, however slow the machine is.
PATIENT = {
    "pool_size": 3,
    "queue_target": None,
    "queue_interval": 1000,  # within which no crowd is one
    "timeout": 300,
}

everywhere = pytest.mark.parametrize(
    ("kind", "door"),
    [("gunicorn", False), ("gunicorn", True), ("uvicorn", False), ("uvicorn", True)],
)
with_and_without_door = pytest.mark.parametrize("door", [False, True])


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    return monkeypatch.setenv


def connection_ids(answer: Answer) -> set[int]:
    assert answer.status == 200, answer
    return set(json.loads(answer.body))


def at_once(served: Site, path: str, clients: int, each: int = 3) -> set[int]:
    """Send *path* from so many clients at once; the statuses of their answers."""
    plan = Plan(
        served.server.url, (Request(path),), clients=clients, requests_each=each
    )
    return set(run(plan).counts)


def checkouts_of(served: Site, path: str, number: int = 5) -> float:
    """How many connections are checked out for one request for *path*."""
    before = served.state()["checkouts"]
    for _ in range(number):
        served.get(path)
    return (served.state()["checkouts"] - before) / number


@with_and_without_door
def test_an_error_page_shares_the_connection_of_its_request(
    site: Serve, door: bool
) -> None:
    served = site("uvicorn", door=door, pool={"pool_size": 2})
    served.get("/no-such-page")
    assert checkouts_of(served, "/no-such-page") == 1
    assert at_once(served, "/no-such-page", clients=6) == {404}


@with_and_without_door
@pytest.mark.parametrize(
    ("path", "most"),
    [("/query-and-thread", 1), ("/gather?n=6", 3), ("/in-executor", 3)],
)
def test_threads_that_are_awaited_are_served_on_a_small_pool(
    site: Serve, door: bool, path: str, most: int
) -> None:
    served = site("uvicorn", door=door, pool=PATIENT)
    assert 1 <= len(connection_ids(served.get(path))) <= most
    assert at_once(served, path, clients=9) == {200}


def test_a_thread_pool_in_a_view_is_served_on_a_small_pool(site: Serve) -> None:
    # More threads than clients: else some would be refused, so that others can be.
    served = site("gunicorn", threads=32, pool=PATIENT)
    assert at_once(served, "/thread-pool", clients=8) == {200}


def test_threads_of_a_request_take_turns_with_its_only_connection(site: Serve) -> None:
    served = site("uvicorn", pool={"pool_size": 1})
    for path in ("/query-and-thread", "/gather?n=6&seconds=0.01"):
        assert len(connection_ids(served.get(path))) == 1


def test_threads_at_work_at_once_have_a_connection_each(site: Serve) -> None:
    served = site("uvicorn", pool={"pool_size": 6})
    ids = connection_ids(served.get("/gather?n=3&seconds=0.3"))
    assert len(ids) == 3


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("query", ["", "?close"])
def test_a_cursor_is_good_after_another_thread_has_asked(
    site: Serve, size: int, query: str
) -> None:
    served = site("uvicorn", pool={"pool_size": size})
    assert served.get(f"/cursor-across{query}").body == "[1, 2, 3, 4]"


# What the request did before its middleware, and after.


@everywhere
def test_what_a_receiver_has_taken_at_the_start_is_adopted(
    site: Serve, environment: Callable[[str, str], None], kind: str, door: bool
) -> None:
    environment("TEST_RECEIVERS", "started")
    served = site(kind, door=door, threads=4, pool={**PATIENT, "pool_size": 1})
    served.get("/queries")
    assert checkouts_of(served, "/queries") == 1
    assert at_once(served, "/queries", clients=4) == {200}


@everywhere
def test_what_a_middleware_above_has_taken_is_adopted(
    site: Serve, kind: str, door: bool
) -> None:
    middleware = [ASKS, POOLED]
    served = site(
        kind,
        door=door,
        threads=4,
        pool={**PATIENT, "pool_size": 1},
        MIDDLEWARE=middleware,
    )
    served.get("/queries")
    assert checkouts_of(served, "/queries") == 1
    assert at_once(served, "/queries", clients=4) == {200}


@everywhere
def test_what_receivers_have_taken_at_the_end_is_on_call(
    site: Serve, environment: Callable[[str, str], None], kind: str, door: bool
) -> None:
    environment("TEST_RECEIVERS", "finished")
    served = site(kind, door=door, threads=16, pool={**PATIENT, "pool_size": 4})
    assert at_once(served, "/queries", clients=16, each=2) == {200}
    # Each of the threads may be left with one, at rest.
    assert at_once(served, "/queries", clients=1, each=4) == {200}


@everywhere
def test_what_receivers_have_changed_at_the_end_holds_up_nobody(
    site: Serve, environment: Callable[[str, str], None], kind: str, door: bool
) -> None:
    environment("TEST_RECEIVERS", "changes")
    served = site(kind, door=door, threads=8, pool={"pool_size": 1})
    assert [served.get("/queries").status for _ in range(8)] == [200] * 8


def test_who_is_left_with_a_connection_does_not_wait_for_it_at_the_door(
    site: Serve, environment: Callable[[str, str], None]
) -> None:
    # A receiver that fails is the last one that Django calls.
    environment("TEST_RECEIVERS", "changes, raises")
    served = site("gunicorn", door=True, threads=1, pool={"pool_size": 1})
    assert [served.get("/queries").status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_what_was_taken_while_the_site_started_is_on_call(
    site: Serve, environment: Callable[[str, str], None], kind: str
) -> None:
    environment("TEST_ASK_WHEN_READY", "1")
    served = site(kind, pool={**PATIENT, "pool_size": 1})
    assert at_once(served, "/queries", clients=2) == {200}


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_a_request_that_has_asked_nothing_yet_holds_up_nobody(
    site: Serve, kind: str
) -> None:
    served = site(kind, threads=8, pool={"pool_size": 2, "timeout": 10})
    served.get("/queries")
    with ThreadPoolExecutor(3) as threads:
        slow = [
            threads.submit(served.get, "/wait-before-asking?seconds=3")
            for _ in range(2)
        ]
        assert poll(lambda: served.state()["in_use"] == 2)
        assert served.get("/queries").status == 200
        assert not any(one.done() for one in slow)
        assert {one.result().status for one in slow} == {200}


# What a request leaves in its other threads.


@pytest.mark.parametrize("what", LEFT)
def test_nothing_that_another_thread_left_in_its_session_reaches_the_next(
    site: Serve, what: str
) -> None:
    served = site("uvicorn", pool={"pool_size": 1})
    unchanged = served.get(f"/see-what-is-left?what={quote(what)}").body
    for _ in range(3):
        assert served.get(f"/leave-in-thread?what={quote(what)}").status == 200
        served.assert_nothing_left()
        assert served.get(f"/see-what-is-left?what={quote(what)}").body == unchanged


@pytest.mark.parametrize(
    "settings",
    [{}, {"pool": {"pool_size": 2, "reset": "always"}}, {"AUTOCOMMIT": False}],
    ids=["default", "reset always", "no autocommit"],
)
def test_a_thread_that_is_done_keeps_nothing(
    site: Serve, site_database: dict[str, Any], settings: dict[str, Any]
) -> None:
    options = {"pool": {"pool_size": 2}, **settings}
    database = site_database
    if "AUTOCOMMIT" in options:
        database = {**site_database, "AUTOCOMMIT": options.pop("AUTOCOMMIT")}
    served = site("uvicorn", database=database, **options)
    for path in ("/query-and-thread", "/transaction-left-in-thread"):
        for _ in range(3):
            assert served.get(path).status == 200
            served.assert_nothing_left()
    assert served.get("/count?name=never+committed").body == "0"


@with_and_without_door
def test_clients_that_hang_up_leave_nothing(site: Serve, door: bool) -> None:
    served = site("uvicorn", door=door, pool={**PATIENT, "pool_size": 2})
    clients = []
    for _ in range(4):
        client = socket.create_connection((served.server.host, served.server.port))
        client.sendall(b"GET /awaited HTTP/1.1\r\nHost: localhost\r\n\r\n")
        clients.append(client)
    assert poll(lambda: served.state()["in_use"] == 2)
    for client in clients:
        client.close()
    served.assert_nothing_left()
    assert at_once(served, "/queries", clients=4) == {200}


@pytest.mark.parametrize("how", ["", "&own", "&dirty"])
def test_a_query_that_is_not_awaited_does_not_delay_the_answer(
    site: Serve, server: Server, how: str
) -> None:
    served = site("uvicorn", pool={"pool_size": 3})
    served.get("/queries")
    assert served.get(f"/not-awaited?seconds=3{how}").status == 200
    # The answer came first: the query goes on, and has its connection.
    assert served.state()["in_use"] == 1
    assert server.status("Threads_running") >= 1
    served.assert_nothing_left()


# A second connection.


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_an_autonomous_transaction_works_on_two_and_is_refused_at_once_on_one(
    site: Serve, kind: str
) -> None:
    enough = site(kind, pool={"pool_size": 2})
    assert enough.get("/autonomous").body == "True"
    small = site(kind, pool={"pool_size": 1, "timeout": 60})
    answer = small.get("/autonomous", headers={"Accept": "application/json"})
    assert (answer.status, json.loads(answer.body)["reason"]) == (503, "stalled")
    log = small.server.log()
    assert "held by threads that wait for another one" in log
    assert "Whoever asked holds 1 of them already: GET /autonomous" in log
    assert "at work" in log


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
@pytest.mark.parametrize(
    "path",
    [
        "/join-in-atomic-block",
        "/join-in-atomic-block?alone",
        "/ask-after-leaving-in-thread?what=variable",
    ],
)
def test_requests_that_wait_for_their_own_threads_stand_still_once_at_most(
    site: Serve, kind: str, path: str
) -> None:
    """All connections are held in one thread, and needed in another."""
    served = site(kind, pool={**PATIENT, "pool_size": 2})
    assert served.get(path).status == 200
    headers = {"Accept": "application/json"}
    with ThreadPoolExecutor(6) as clients:
        asked = [clients.submit(served.get, path, headers=headers) for _ in range(12)]
        answers = [each.result() for each in asked]
    refused = [each for each in answers if each.status != 200]
    assert {each.status for each in refused} == {503}
    assert {json.loads(each.body)["reason"] for each in refused} == {"stalled"}
    assert len(refused) < len(answers)
    # One connection is kept now for who needs a second.
    assert at_once(served, path, clients=6, each=1) == {200}
    assert at_once(served, "/queries", clients=4) == {200}


def test_a_refusal_names_who_holds_the_connections(site: Serve) -> None:
    served = site("gunicorn", pool={"pool_size": 1, "timeout": 0.5})
    served.get("/queries")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(served.get, "/sleep?seconds=2&secret=1")
        assert poll(lambda: served.state()["in_use"] == 1)
        assert served.get("/queries").status == 503
        assert slow.result().status == 200
    log = served.server.log()
    assert "Held for longest: GET /sleep (tests.site.views.sleep) for " in log
    assert "at work, by thread" in log
    assert "secret" not in log[log.index("Held for longest") :].splitlines()[0]
