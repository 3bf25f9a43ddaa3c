"""However a request ends, its connection goes back, as new, exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import django
import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connections

from pooled_db import asgi, pools, wsgi
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.site.models import Item
from tests.sites import Site, serve

Serve = Callable[..., Site]

POOLED = "pooled_db.middleware.PooledConnectionMiddleware"
FAILS_BEFORE = "tests.site.endings.fails_before"
FAILS_AFTER = "tests.site.endings.fails_after"

both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
with_and_without_door = pytest.mark.parametrize("door", [False, True])


@pytest.fixture(scope="module")
def endings(site_database: dict[str, Any]) -> Iterator[dict[str, Site]]:
    """Sites with so few connections that a leak shows at once."""
    with contextlib.ExitStack() as stack:
        yield {
            kind: stack.enter_context(
                serve(
                    kind,
                    database=site_database,
                    threads=2,
                    pool={"pool_size": 2, "timeout": 2},
                )
            )
            for kind in ("gunicorn", "uvicorn")
        }


@both
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/queries", 200),
        ("/item-async", 200),
        ("/fail-after-query", 500),
        ("/wrong-sql", 500),
        ("/not-found", 404),
        ("/denied", 403),
        ("/leave-atomic", 200),
        ("/autocommit-off", 200),
        ("/forgotten-hook", 200),
        ("/on-commit", 200),
        ("/on-commit-fails", 500),
        ("/close", 200),
        ("/close-all", 200),
        ("/release", 200),
        ("/release-async", 200),
        ("/release-in-atomic", 500),
        ("/stream", 200),
        ("/stream-async", 200),
        ("/stream-unused", 200),
        ("/file", 200),
        ("/in-template", 200),
        ("/nested-client", 200),
        ("/thread-goes-on", 200),
        ("/no-such-page", 404),
    ],
)
def test_the_connection_goes_back_however_the_request_ends(
    endings: dict[str, Site], server: Server, kind: str, path: str, status: int
) -> None:
    served = endings[kind]
    for _ in range(4):
        assert served.get(path).status == status, served.server.log()
        served.assert_nothing_left()
    assert served.get("/queries").status == 200
    assert server.open_transactions() == 0


@both
def test_hooks_run_at_the_commit_and_those_without_one_never(
    endings: dict[str, Site], kind: str
) -> None:
    served = endings[kind]
    assert served.get("/on-commit").body == "[1, 3]"
    assert served.get("/forgotten-hook").status == 200
    for _ in range(4):
        assert served.get("/on-commit").body == "[1, 3]"
    assert served.get("/count?name=from+another+request").body == "0"


@both
@with_and_without_door
@pytest.mark.parametrize(
    "middleware",
    [
        [POOLED, FAILS_BEFORE],
        [POOLED, FAILS_AFTER],
        [FAILS_BEFORE, POOLED],
        [FAILS_AFTER, POOLED],
    ],
    ids=["below-before", "below-after", "above-before", "above-after"],
)
def test_the_connection_goes_back_when_middleware_fails(
    site: Serve, kind: str, door: bool, middleware: list[str]
) -> None:
    served = site(
        kind, threads=2, door=door, MIDDLEWARE=middleware, pool={"pool_size": 2}
    )
    for _ in range(4):
        assert served.get("/queries").status == 500
        served.assert_nothing_left()


@with_and_without_door
@pytest.mark.parametrize(
    ("kind", "path"),
    [("gunicorn", "/nested-application"), ("uvicorn", "/nested-application-async")],
)
def test_a_request_to_its_own_application_shares_its_connection(
    site: Serve, kind: str, door: bool, path: str
) -> None:
    served = site(kind, threads=2, door=door, pool={"pool_size": 1, "timeout": 2})
    one = served.get("/queries").body
    for _ in range(3):
        answer = served.get(path)
        assert (answer.status, answer.body) == (200, one)
        served.assert_nothing_left()


def begin(served: Site, path: str) -> socket.socket:
    """Ask for *path* and read no more than the first bytes of the answer."""
    client = socket.create_connection((served.server.host, served.server.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert client.recv(12) == b"HTTP/1.1 200"
    return client


@both
@with_and_without_door
@pytest.mark.parametrize("path", ["/long-stream", "/long-stream-async"])
def test_the_connection_of_a_stream_goes_back_when_its_client_has_gone(
    shared_site: Serve, kind: str, door: bool, path: str
) -> None:
    served = shared_site(kind, threads=4, door=door, pool={"pool_size": 2})
    clients = [begin(served, path) for _ in range(2)]
    # Each kind of server consumes the other kind of body at once.
    if path == {"gunicorn": "/long-stream", "uvicorn": "/long-stream-async"}[kind]:
        assert poll(lambda: served.state()["in_use"] == 2)
    for client in clients:
        client.close()
    # While it streams, a connection at rest counts as on call.
    assert poll(lambda: served.state()["in_use"] == 0)
    served.assert_nothing_left()
    assert served.get("/queries").status == 200


@both
def test_a_stream_that_fails_in_the_middle_gives_its_connection_back(
    endings: dict[str, Site], kind: str
) -> None:
    served = endings[kind]
    for _ in range(4):
        begin(served, "/stream-that-fails").close()
        assert poll(lambda: served.state()["in_use"] == 0)
        served.assert_nothing_left()


@both
@with_and_without_door
def test_a_connection_whose_client_has_gone_is_not_reused_before_its_query_ends(
    site: Serve, server: Server, kind: str, door: bool
) -> None:
    served = site(kind, threads=4, door=door, pool={"pool_size": 1, "timeout": 10})
    assert served.get("/queries").status == 200
    client = socket.create_connection((served.server.host, served.server.port))
    client.sendall(b"GET /sleep?seconds=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert poll(lambda: served.state()["in_use"] == 1)
    client.close()

    assert served.get("/echo?token=mine").body == "mine"
    assert server.status("Threads_running") == 0


# What no application server survives: SystemExit and KeyboardInterrupt.


def call_wsgi(application: Any, path: str) -> None:
    environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    application(environ, lambda *args: None)


def call_asgi(application: Any, path: str) -> None:
    asyncio.run(application(*exchange(path)))


def exchange(path: str) -> tuple[Any, ...]:
    """What an ASGI server calls an application with, for one request."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
    }
    messages = iter([{"type": "http.request", "body": b""}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await asyncio.Event().wait()  # the client neither sends more nor leaves
        raise AssertionError

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    return scope, receive, send


ends_the_process = pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/exit", SystemExit),
        ("/exit-in-atomic", SystemExit),
        ("/interrupt", KeyboardInterrupt),
    ],
)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "application", [get_wsgi_application, wsgi.get_wsgi_application]
)
@ends_the_process
def test_an_exit_under_wsgi_gives_the_connection_back(
    application: Callable[[], Any], path: str, error: type[BaseException]
) -> None:
    connections.close_all()
    with pytest.raises(error):
        call_wsgi(application(), path)
    assert not Item.objects.exists()


#: Django leaves the request's body open when such an error passes.
body_left_open = pytest.mark.filterwarnings(
    "ignore:Unclosed file <tempfile:ResourceWarning"
)


@body_left_open
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "application", [get_asgi_application, asgi.get_asgi_application]
)
@ends_the_process
def test_an_exit_under_asgi_gives_the_connection_back(
    application: Callable[[], Any], path: str, error: type[BaseException]
) -> None:
    connections.close_all()
    with pytest.raises(error):
        call_asgi(application(), path)
    assert not Item.objects.exists()


@pytest.mark.skipif(
    django.VERSION < (5,), reason="Django listens while it serves from 5.0 on"
)
@body_left_open
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "application", [get_asgi_application, asgi.get_asgi_application]
)
def test_a_request_that_outlives_its_exchange_gives_its_connection_back(
    application: Callable[[], Any],
) -> None:
    """Django ends the exchange, as the server sent nonsense, but not the request.

    From 6.1 on it cancels the request, at whatever point it is.
    """
    connections.close_all()
    pool = pools.for_alias("default")
    checkouts = pool.stats().checkouts
    scope, _, send = exchange("/sleep?seconds=0.5")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def go_on_alone() -> None:
        before = asyncio.all_tasks()
        with pytest.raises(AssertionError, match="Invalid ASGI message"):
            await application()(scope, receive, send)
        if left := asyncio.all_tasks() - before:
            await asyncio.wait(left)
        if django.VERSION < (6, 1):
            assert pool.stats().checkouts > checkouts
        while pool.stats().in_use:
            await asyncio.sleep(0.01)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(asyncio.wait_for(go_on_alone(), 10))
    finally:
        gc.enable()
