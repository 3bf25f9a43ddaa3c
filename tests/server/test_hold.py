"""How long a request holds its connection: to its end, or while it works with it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import quote

import pytest

from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from tests.harness.load import Plan, Request, run
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import ask, lend
from tests.sites import Answer, Site

Serve = Callable[..., Site]

PAUSE = 1.0

both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
by_transaction = {
    "pool_size": 1,
    "timeout": 5,
    "queue_target": None,
    "queue_interval": 1000,
    "hold": "transaction",
}


@both
@pytest.mark.parametrize(
    ("hold", "statuses"), [("request", {200, 503}), ("transaction", {200})]
)
def test_others_are_served_while_a_request_waits_for_something_else(
    site: Serve, kind: str, hold: str, statuses: set[int]
) -> None:
    pool = {"pool_size": 1, "timeout": 1, "queue_target": None, "hold": hold}
    served = site(kind, threads=8, pool=pool)
    plan = Plan(
        served.server.url,
        (Request("/wait-between?seconds=0.3"),),
        clients=6,
        requests_each=1,
    )
    assert set(run(plan).counts) == statuses


def test_no_statement_and_no_connection_is_added(site: Serve, server: Server) -> None:
    served = site("gunicorn", threads=8, pool={**by_transaction, "pool_size": 2})
    path = "/wait-between?seconds=0.01"
    plan = Plan(served.server.url, (Request(path),), clients=8, requests_each=5)
    for _ in range(2):
        run(plan)
    statements = server.status("Questions")
    connections = server.status("Connections")
    assert set(run(plan).counts) == {200}
    assert server.status("Questions") - statements == 8 * 5 * 3
    assert server.status("Connections") == connections


def pausing(served: Site, path: str, threads: ThreadPoolExecutor) -> Future[Answer]:
    """Send *path*, and come back when its connection is at rest for its pause."""
    begun = threads.submit(served.get, path)
    assert poll(lambda: served.state()["in_use"] == 1)
    return begun


def test_what_the_last_statement_left_is_an_error_after_another_user(
    site: Serve,
) -> None:
    served = site("gunicorn", pool=by_transaction)
    served.get("/queries")
    for sql in ("SELECT LAST_INSERT_ID()", "SELECT ROW_COUNT()", "SHOW WARNINGS"):
        path = f"/ask-twice?seconds={PAUSE}&sql={quote(sql)}"
        assert served.get(path).status == 200
        with ThreadPoolExecutor(1) as threads:
            asked = pausing(served, path, threads)
            assert served.get("/queries").status == 200
            assert not asked.done()
            assert asked.result().status == 500
    assert "others have used since" in served.server.log()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/pause-with-cursor?seconds={PAUSE}", "True"),
        (f"/pause-in?what=variable&seconds={PAUSE}", "mine"),
        (f"/pause-in?what=transaction&seconds={PAUSE}", "1"),
    ],
)
def test_what_only_this_connection_has_keeps_it(
    site: Serve, path: str, body: str
) -> None:
    served = site("gunicorn", pool=by_transaction)
    served.get("/queries")
    with ThreadPoolExecutor(1) as threads:
        asked = pausing(served, path, threads)
        assert served.get("/queries").status == 200
        assert asked.result().body == body


def test_with_the_default_a_request_keeps_its_connection(site: Serve) -> None:
    served = site("gunicorn", pool={"pool_size": 1, "timeout": 5})
    served.get("/queries")
    path = f"/ask-twice?seconds={PAUSE}&sql={quote('SELECT LAST_INSERT_ID()')}"
    with ThreadPoolExecutor(1) as threads:
        asked = pausing(served, path, threads)
        assert served.get("/queries").status == 200
        assert asked.result().status == 200


# What is called back, and what its user works with.


@pytest.mark.parametrize("by", ["pin", "change", "cursor"])
def test_what_somebody_works_with_is_not_called_back(
    make_pool: Callable[..., Pool], by: str
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    loan.unpin(threading.get_ident())
    with contextlib.ExitStack() as work:
        if by == "pin":
            loan.pins.add(threading.get_ident())
            work.callback(loan.pins.clear)
        elif by == "change":
            connection.is_dirty = True
            work.callback(setattr, connection, "is_dirty", False)
        else:
            work.enter_context(contextlib.closing(connection.cursor()))
        with pool.gate.lock:
            assert not loan.call_back()
        assert ask(connection, "SELECT 1") == 1

    with pool.gate.lock:
        assert loan.call_back()
        assert not loan.call_back()
    loan.checkin()


def test_what_has_no_permit_yet_is_not_called_back(
    make_pool: Callable[..., Pool],
) -> None:
    pool = make_pool(pool_size=1)
    loan = Loan(pool)
    with pool.gate.lock:
        assert not loan.call_back()

    pool.admit(loan)
    pool.take(loan)
    loan.checkin()
