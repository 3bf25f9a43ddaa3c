"""A client that is still sending its request, or reads its answer, holds none."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.http import HttpRequest, StreamingHttpResponse
from django.test import RequestFactory, override_settings

from pooled_db import asgi
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.pool import Pool
from tests.harness.load import Plan, Request, run
from tests.harness.processes import poll
from tests.servers_here import needs
from tests.site.endings import CHUNK, CHUNKS
from tests.site.views import ask
from tests.sites import Site

Serve = Callable[..., Site]

CONNECTIONS = 4
BODY = b"".join(b"%d\n" % number for number in range(2000))
DIGEST = hashlib.sha256(BODY).hexdigest()
# Without max_idle no connection is closed to leave its room to others.
POOL = {
    "pool_size": CONNECTIONS,
    "timeout": 30,
    "queue_target": None,
    "queue_interval": 1000,
    "max_idle": None,
}


def multipart(content: bytes) -> tuple[str, bytes]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    return "multipart/form-data; boundary=b", head + content + b"\r\n--b--\r\n"


def form(content: bytes) -> tuple[str, bytes]:
    return "application/x-www-form-urlencoded", b"text=" + quote(content).encode()


def plain(content: bytes) -> tuple[str, bytes]:
    return "application/octet-stream", content


ENCODED = {"handled": multipart, "file": multipart, "posted": form}


class SlowClient:
    """Sends all of a request but its last byte, and that when it is told to."""

    def __init__(self, served: Site, path: str, kind: str, body: bytes) -> None:
        server = served.server
        self._connection = http.client.HTTPConnection(
            server.host, server.port, timeout=30
        )
        self._connection.putrequest("POST", path)
        self._connection.putheader("Content-Type", kind)
        self._connection.putheader("Content-Length", str(len(body)))
        self._connection.endheaders(body[:-1])
        self._last = body[-1:]

    def finish(self) -> tuple[int, bytes]:
        self._connection.send(self._last)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def slow_clients(served: Site, path: str, how: str) -> Iterator[list[SlowClient]]:
    kind, body = ENCODED.get(how, plain)(BODY)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(CONNECTIONS):
            clients.append(SlowClient(served, path, kind, body))
            stack.callback(clients[-1].close)
        yield clients


def assert_all_are_in_use(served: Site) -> None:
    in_use = poll(lambda: served.state()["in_use"] == CONNECTIONS)
    assert in_use, str(served.state())


servers = pytest.mark.parametrize(
    ("kind", "door"),
    [
        ("uvicorn", False),
        ("uvicorn", True),
        pytest.param("hypercorn", True, marks=needs("hypercorn")),
        ("gunicorn", False),
        ("gunicorn", True),
        pytest.param("granian wsgi", False, marks=needs("granian wsgi")),
        pytest.param("uwsgi", False, marks=needs("uwsgi")),
    ],
)


@servers
@pytest.mark.parametrize("asks", ["before", "after", "both"])
def test_slow_uploads_leave_the_connections_to_others(
    served_once: Serve, kind: str, door: bool, asks: str
) -> None:
    served = served_once(kind, door=door, threads=10, pool=POOL)
    with slow_clients(served, f"/upload?asks={asks}", "body") as clients:
        if not _reads_before_the_view(kind):
            # Each is in the view, and reads, with the connection that it asked for.
            assert_all_are_in_use(served)
        plan = Plan(
            served.server.url,
            (Request("/sleep?seconds=0.01"),),
            clients=6,
            requests_each=10,
        )
        assert run(plan).counts == {200: 60}
        for client in clients:
            status, answer = client.finish()
            assert (status, json.loads(answer)["sha256"]) == (200, DIGEST)
    served.assert_nothing_left()


def _reads_before_the_view(kind: str) -> bool:
    return kind in ("uvicorn", "hypercorn")


@pytest.mark.parametrize("how", ["pieces", "lines", "by line", "posted", "file"])
@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_each_way_of_reading_leaves_the_connections_to_others(
    served_once: Serve, kind: str, how: str
) -> None:
    served = served_once(kind, door=True, threads=10, pool=POOL)
    path = f"/upload?asks=both&how={quote(how)}"
    with slow_clients(served, path, how) as clients:
        if kind == "gunicorn":
            assert_all_are_in_use(served)
        plan = Plan(
            served.server.url, (Request("/queries"),), clients=6, requests_each=3
        )
        assert run(plan).counts == {200: 18}
        for client in clients:
            status, answer = client.finish()
            assert (status, json.loads(answer)["sha256"]) == (200, DIGEST)


@pytest.mark.parametrize("how", ["handled", "raw"])
def test_upload_handlers_and_the_raw_stream_leave_them_too(
    served_once: Serve, how: str
) -> None:
    served = served_once("gunicorn", door=True, threads=10, pool=POOL)
    with slow_clients(served, f"/upload?asks=before&how={how}", how) as clients:
        assert_all_are_in_use(served)
        assert served.get("/queries").status == 200
        for client in clients:
            status, answer = client.finish()
            assert (status, json.loads(answer)["sha256"]) == (200, DIGEST)


def test_a_request_keeps_its_connection_while_nobody_waits(served_once: Serve) -> None:
    served = served_once("gunicorn", door=True, threads=10, pool=POOL)
    with slow_clients(served, "/upload?asks=both", "body") as clients:
        assert_all_are_in_use(served)
        for client in clients:
            answer = json.loads(client.finish()[1])
            assert answer["before"] == answer["after"]


def test_what_only_its_connection_has_keeps_it_while_it_reads(site: Serve) -> None:
    served = site("gunicorn", threads=10, pool={**POOL, "timeout": 0.3})
    with slow_clients(served, "/upload-with-variable", "body") as clients:
        # Not before each has set its variable.
        assert poll(lambda: served.state()["at_work"] == CONNECTIONS)
        assert served.get("/queries").status == 503
        for client in clients:
            assert client.finish() == (200, f"{len(BODY)} mine".encode())


# And one that takes its time to read.


@pytest.mark.parametrize(
    ("kind", "path"), [("gunicorn", "/long-stream"), ("uvicorn", "/long-stream-async")]
)
def test_clients_that_read_slowly_leave_the_connections_to_others(
    served_once: Serve, kind: str, path: str
) -> None:
    served = served_once(kind, door=True, threads=12, pool=POOL)
    with contextlib.ExitStack() as stack:
        streams = []
        for _ in range(CONNECTIONS):
            client = http.client.HTTPConnection(
                served.server.host, served.server.port, timeout=30
            )
            stack.callback(client.close)
            client.request("GET", path)
            streams.append(client.getresponse())
        # No socket's buffer takes all of it: each has asked, and waits for its client.
        assert_all_are_in_use(served)
        plan = Plan(
            served.server.url, (Request("/queries"),), clients=6, requests_each=10
        )
        assert run(plan).counts == {200: 60}
        # Each goes on with another connection.
        assert len(streams[0].read()) == CHUNKS * len(CHUNK)
    served.assert_nothing_left()


def test_a_body_that_reads_its_request_leaves_the_connection_in_between(
    pool: Pool, rf: RequestFactory
) -> None:
    def view(request: HttpRequest) -> StreamingHttpResponse:
        def body() -> Iterator[bytes]:
            while part := request.read(1):
                ask("SELECT 1")
                yield part

        return StreamingHttpResponse(body())

    request = rf.post("/", b"sent", content_type="text/plain")
    response = PooledConnectionMiddleware(view)(request)
    try:
        next(response.streaming_content)
        assert [loan.is_on_call for loan in pool.lent()] == [True]
    finally:
        response.close()


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_a_client_that_goes_while_it_sends_leaves_nothing(
    served_once: Serve, kind: str
) -> None:
    served = served_once(kind, door=True, threads=10, pool=POOL)
    with slow_clients(served, "/upload?asks=both", "body"):
        if kind == "gunicorn":
            assert_all_are_in_use(served)
    served.assert_nothing_left()
    assert served.get("/queries").status == 200


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_a_client_that_waits_to_be_told_to_go_on_is_told(
    served_once: Serve, kind: str
) -> None:
    served = served_once(kind, door=True, threads=10, pool=POOL)
    client = http.client.HTTPConnection(
        served.server.host, served.server.port, timeout=30
    )
    with contextlib.closing(client):
        client.putrequest("POST", "/upload?asks=both")
        client.putheader("Content-Length", str(len(BODY)))
        client.putheader("Expect", "100-continue")
        client.endheaders()
        assert client.sock.recv(25).startswith(b"HTTP/1.1 100 ")
        client.send(BODY)
        # It skips what is left of the 100.
        response = client.getresponse()
        assert json.loads(response.read())["sha256"] == DIGEST


# By hand, to see what no real server shows at the wanted moment.


PART = {"type": "http.request", "body": b"part", "more_body": True}
LAST = {"type": "http.request", "body": b"last", "more_body": False}
GONE = {"type": "http.disconnect"}
SCOPE = {"type": "http", "method": "POST", "path": "/queries", "headers": []}


class Exchange:
    """One request to an application behind the door, which notes what it receives."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received: list[Any] = []
        self.sent: list[Any] = []
        door = asgi.Door(self.application)
        self.task = asyncio.ensure_future(
            door(dict(SCOPE), self.incoming.get, self.send)
        )

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        while not self.received or self.received[-1] != GONE:
            self.received.append(await receive())

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def receives(self, *messages: dict[str, Any]) -> None:
        """Send *messages*, and wait until the application has all that it gets."""
        for message in messages:
            self.incoming.put_nowait(message)
        while not self.incoming.empty():
            await asyncio.sleep(0)


async def is_waited_for(pool: Pool) -> None:
    while not pool.gate.waiting:
        await asyncio.sleep(0)


def test_the_body_is_passed_on_as_it_comes_and_its_end_after_admission(
    full_pool: Pool,
) -> None:
    async def scenario() -> None:
        exchange = Exchange()
        await exchange.receives(PART, PART)
        assert (exchange.received, full_pool.gate.waiting) == ([PART, PART], 0)
        await exchange.receives(LAST)
        await is_waited_for(full_pool)
        assert exchange.received == [PART, PART]
        full_pool.gate.release(full_pool.gate.held()[0])
        await exchange.receives(GONE)
        await exchange.task
        assert exchange.received == [PART, PART, LAST, GONE]
        assert full_pool.gate.free == 1

    asyncio.run(scenario())


def test_a_client_that_goes_while_it_sends_is_not_let_in(full_pool: Pool) -> None:
    async def scenario() -> None:
        exchange = Exchange()
        await exchange.receives(PART, GONE)
        await exchange.task
        assert (exchange.received, exchange.sent) == ([PART, GONE], [])
        assert full_pool.gate.waiting == 0

    asyncio.run(scenario())


def test_a_client_that_goes_while_it_waits_has_gone_to_the_application_too(
    full_pool: Pool,
) -> None:
    async def scenario() -> None:
        exchange = Exchange()
        await exchange.receives(PART, LAST)
        await is_waited_for(full_pool)
        await exchange.receives(GONE)
        await exchange.task
        assert (exchange.received, exchange.sent) == ([PART, GONE], [])
        assert full_pool.gate.waiting == 0

    asyncio.run(scenario())


def test_a_refused_request_is_dropped_by_the_application_and_answered(
    full_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_pool, "timeout", 0.01)

    async def scenario() -> None:
        exchange = Exchange()
        await exchange.receives(PART, LAST)
        await exchange.task
        assert exchange.received == [PART, GONE]
        assert [message.get("status") for message in exchange.sent] == [503, None]

    asyncio.run(scenario())


def test_what_a_proxy_has_waited_for_does_not_include_the_sending(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ages: list[float] = []
    clock = iter([1.0, 20.0])

    async def admit(scope: Any, pool: Pool, age: float) -> None:
        ages.append(age)

    monkeypatch.setattr("pooled_db.request.scope.Scope.admit_async", admit)
    monkeypatch.setattr(
        "pooled_db.request.admission.Admission.age", lambda self, header: next(clock)
    )
    monkeypatch.setitem(SCOPE, "headers", [(b"x-request-start", b"t=1")])

    async def scenario() -> None:
        exchange = Exchange()
        await exchange.receives(PART, LAST, GONE)
        await exchange.task

    with override_settings(POOLED_DB={"REQUEST_START_HEADER": "X-Request-Start"}):
        asyncio.run(scenario())
    assert ages == [1.0]
