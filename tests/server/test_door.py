"""Admission before Django, through real servers and by hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from pooled_db import asgi, wsgi
from pooled_db.pool.pool import Pool
from pooled_db.request.current import begin_request, current_scope
from pooled_db.request.scope import Scope
from tests.harness.load import Plan, Request, run, start
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.sites import ConnectionCounter, Site, run_without_django

Serve = Callable[..., Site]
both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])


@both
def test_n_queries_cost_n_statements_through_the_door(
    site: Serve, server: Server, kind: str
) -> None:
    served = site(kind, threads=1, door=True, pool={"pool_size": 1})
    for _ in range(3):
        served.get("/queries?n=2")
    statements = server.status("Questions")
    connections = server.status("Connections")

    for _ in range(10):
        assert served.get("/queries?n=2").status == 200

    assert server.status("Questions") - statements == 20
    assert server.status("Connections") == connections


@both
def test_overload_at_the_door_is_answered_with_200_or_503(
    site: Serve, server: Server, kind: str
) -> None:
    served = site(kind, threads=32, door=True, pool={"pool_size": 4, "timeout": 0.2})

    with ConnectionCounter(server, "pooled_site") as counted:
        report = run(Plan(served.server.url, (Request("/sleep"),), rate=300, seconds=3))

    assert set(report.counts) == {200, 503}
    assert report.without_retry_after == 0
    assert counted.most <= 4


@both
def test_a_request_is_admitted_once(site: Serve, kind: str) -> None:
    served = site(kind, threads=2, door=True, pool={"pool_size": 2})
    served.get("/queries")
    before = served.state()["checkouts"]

    for path in ("/queries", "/nothing", "/stream", "/fail-after-query", "/file"):
        for _ in range(4):
            served.get(path)

    assert served.state()["checkouts"] - before == 20


@both
def test_a_request_that_is_too_old_is_refused_at_once(site: Serve, kind: str) -> None:
    served = site(
        kind,
        door=True,
        pool={"pool_size": 2, "timeout": 2},
        POOLED_DB={
            "EXEMPT": ["^exempt/"],
            "REQUEST_START_HEADER": "X-Request-Start",
        },
    )
    old = {"X-Request-Start": f"t={time.time() - 30:.3f}", "Accept": "application/json"}
    fresh = {"X-Request-Start": f"t={time.time():.3f}"}

    refused = served.get("/queries", headers=old)

    assert refused.status == 503
    assert json.loads(refused.body)["reason"] == "timeout"
    assert served.get("/queries", headers=fresh).status == 200
    assert served.get("/queries", headers={"X-Request-Start": "soon"}).status == 200
    assert served.get("/exempt/nothing", headers=old).status == 200


def test_while_many_wait_at_the_door_there_are_few_threads(site: Serve) -> None:
    served = site(
        "uvicorn",
        door=True,
        pool={"pool_size": 2, "timeout": 20, "queue_target": None},
    )
    before = served.server.threads()
    plan = Plan(
        served.server.url, (Request("/sleep?seconds=1"),), clients=300, seconds=1.0
    )
    with start(plan):
        assert poll(lambda: served.state()["waiting"] > 200)
        assert served.server.threads() <= before + 2 + 5
    assert poll(lambda: served.state()["waiting"] == 0)


# By hand, to see what no real server shows at the wanted moment.


def http_scope(path: str = "/queries", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
        ],
    }


class Client:
    """One ASGI exchange, whose messages the test sends."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in messages:
            self.incoming.put_nowait(message)
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: Any) -> None:
        self.sent.append(message)


REQUEST = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


def test_a_client_that_goes_away_leaves_the_queue_at_once(full_pool: Pool) -> None:
    application = asgi.get_asgi_application()
    client = Client(REQUEST)

    async def scenario() -> None:
        exchange = asyncio.ensure_future(
            application(http_scope(), client.receive, client.send)
        )
        while not full_pool.gate.waiting:
            await asyncio.sleep(0)
        client.incoming.put_nowait(GONE)
        await exchange

    asyncio.run(scenario())
    assert full_pool.gate.waiting == 0
    assert client.sent == []


def test_a_cancelled_exchange_leaves_the_queue(full_pool: Pool) -> None:
    application = asgi.get_asgi_application()
    client = Client(REQUEST)

    async def scenario() -> None:
        exchange = asyncio.ensure_future(
            application(http_scope(), client.receive, client.send)
        )
        while not full_pool.gate.waiting:
            await asyncio.sleep(0)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange

    asyncio.run(scenario())
    assert full_pool.gate.waiting == 0


@pytest.mark.parametrize("taken_over", [False, True])
def test_an_exchange_that_is_cancelled_ends_no_request_that_goes_on(
    pool: Pool, taken_over: bool
) -> None:
    """Django leaves the request's own task behind, which ends it."""
    seen: list[Scope | None] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(begin_request() if taken_over else current_scope())
        raise asyncio.CancelledError

    client = Client(REQUEST)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asgi.Door(application)(http_scope(), client.receive, client.send))

    (scope,) = seen
    assert scope is not None
    assert scope.is_open is taken_over
    scope.close()


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "other"])
def test_other_scopes_pass_through(full_pool: Pool, kind: str) -> None:
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    client = Client()
    asyncio.run(asgi.Door(application)({"type": kind}, client.receive, client.send))
    assert seen == [kind]


def test_exempt_paths_pass_through(full_pool: Pool) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"passed": True})

    client = Client()
    asyncio.run(
        asgi.Door(application)(
            http_scope("/exempt/nothing"), client.receive, client.send
        )
    )
    assert client.sent == [{"passed": True}]


async def ask_asgi_door(client: Client, accept: str) -> None:
    application = asgi.get_asgi_application()
    await application(http_scope(accept=accept), client.receive, client.send)


def ask_wsgi_door(accept: str) -> tuple[str, list[tuple[str, str]], bytes]:
    started: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/queries",
        "HTTP_ACCEPT": accept,
    }
    body = wsgi.get_wsgi_application()(environ, lambda *args: started.extend(args))
    return started[0], started[1], b"".join(body)


def test_the_door_answers_as_the_middleware_does(
    full_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.test import Client as TestClient

    monkeypatch.setattr(full_pool, "timeout", 0.01)
    monkeypatch.setattr("random.randint", lambda least, most: least)
    for accept in ("text/html", "application/json"):
        client = Client(REQUEST)
        asyncio.run(ask_asgi_door(client, accept))
        status, wsgi_headers, body = ask_wsgi_door(accept)
        middleware = TestClient().get("/queries", headers={"accept": accept})

        start, content = client.sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert start["status"] == middleware.status_code == 503
        assert status == "503 Service Unavailable"
        assert content["body"] == body == middleware.content
        assert (
            headers
            == {name.lower(): value for name, value in wsgi_headers}
            == {name.lower(): value for name, value in middleware.items()}
        )


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_who_makes_the_application_has_django_set_up(server: Server, kind: str) -> None:
    """As Django's own function does; a server loads nothing else."""
    program = f"""
        from django.apps import apps
        from pooled_db.{kind} import get_{kind}_application
        assert not apps.ready
        get_{kind}_application()
        print(apps.ready)
    """
    assert run_without_django(program, server.settings("pooled_site")) == "True\n"
