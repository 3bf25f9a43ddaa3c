"""The door of ASGI, as a server calls it: the server's life, and who is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.core import asgi as djangos

from pooled_db import asgi, pools
from pooled_db.pool.permit import Permit
from pooled_db.pool.pool import Pool
from tests.gates import PATIENCE

Listen = Callable[[], None]


class Exchange:
    """What a server sends to an application, and gets of it, for one scope."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[Any] = []
        self.task = asyncio.ensure_future(
            application(scope, self.incoming.get, self._send)
        )

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent]


def of_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(scenario(), PATIENCE)

    asyncio.run(in_time())


async def until(happened: Callable[[], object]) -> None:
    while not happened():
        await asyncio.sleep(0)


# The server's life.

made = pytest.mark.parametrize(
    "make",
    [
        pytest.param(asgi.get_asgi_application, id="ours"),
        pytest.param(djangos.get_asgi_application, id="django's"),
    ],
)


@made
def test_the_servers_end_closes_the_pools(make: Callable[[], Any]) -> None:
    pool = pools.for_alias("default")

    async def scenario() -> None:
        server = Exchange(make(), {"type": "lifespan"})
        server.incoming.put_nowait({"type": "lifespan.startup"})
        await until(lambda: server.sent)
        assert server.kinds() == ["lifespan.startup.complete"]
        assert not pool.is_disposed
        server.incoming.put_nowait({"type": "lifespan.shutdown"})
        await server.task
        assert server.kinds()[1:] == ["lifespan.shutdown.complete"]
        assert pool.is_disposed

    of_loop(scenario)


def test_while_the_pools_are_closed_the_event_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        goes_on = threading.Event()

        def dispose_all() -> None:
            loop.call_soon_threadsafe(goes_on.set)
            assert goes_on.wait(PATIENCE)

        monkeypatch.setattr(pools, "dispose_all", dispose_all)
        server = Exchange(asgi.get_asgi_application(), {"type": "lifespan"})
        server.incoming.put_nowait({"type": "lifespan.shutdown"})
        await server.task
        assert goes_on.is_set()

    of_loop(scenario)


@made
def test_of_other_protocols_django_says_what_it_does_without_the_door(
    make: Callable[[], Any],
) -> None:
    async def scenario() -> None:
        server = Exchange(make(), {"type": "websocket", "path": "/chat"})
        with pytest.raises(ValueError, match="not websocket"):
            await server.task

    of_loop(scenario)


@pytest.mark.parametrize(
    "setting", [{"POOLED_DB": {"DOOR": False}}, {"MIDDLEWARE": []}]
)
def test_without_the_door_djangos_function_makes_what_it_always_did(
    settings: Any, setting: dict[str, Any]
) -> None:
    ((name, value),) = setting.items()
    setattr(settings, name, value)

    async def scenario() -> None:
        server = Exchange(djangos.get_asgi_application(), {"type": "lifespan"})
        with pytest.raises(ValueError, match="not lifespan"):
            await server.task

    of_loop(scenario)


# Who is refused.


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Pool]:
    """Of two pools whose connections each request takes, the second is full."""
    settings.POOLED_DB = {"ALIASES": ["default", "other"]}
    pool = pools.for_alias("other")
    monkeypatch.setattr(pool, "timeout", 0.01)
    permits = [Permit() for _ in range(pool.gate.capacity)]
    for permit in permits:
        pool.gate.acquire(permit, pool.timeout)
    yield pool
    for permit in permits:
        pool.gate.release(permit)


class HeldBack:
    """Takes the place of what lets refusals leave: this one leaves when told to."""

    def __init__(self) -> None:
        self.alias: str | None = None
        self.listen: Listen | None = None
        self.leaves = asyncio.Event()

    async def hold(self, alias: str, listen: Listen) -> None:
        self.alias, self.listen = alias, listen
        await self.leaves.wait()


async def application(scope: Any, receive: Any, send: Any) -> None:
    pytest.fail("it is called")


async def refused(monkeypatch: pytest.MonkeyPatch) -> tuple[Exchange, HeldBack]:
    held = HeldBack()
    monkeypatch.setattr(asgi, "hold", held.hold)
    scope = {"type": "http", "method": "GET", "path": "/page", "headers": []}
    exchange = Exchange(asgi.Door(application), scope)
    exchange.incoming.put_nowait({"type": "http.request"})
    await until(lambda: held.listen)
    return exchange, held


def test_whoever_waits_to_be_told_so_holds_nothing(
    full: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        exchange, held = await refused(monkeypatch)
        gate = pools.for_alias("default").gate
        assert (held.alias, gate.free) == ("other", gate.capacity)
        assert exchange.sent == []
        held.leaves.set()
        await exchange.task
        start, body = exchange.sent
        assert (start["type"], start["status"]) == ("http.response.start", 503)
        assert (body["type"], bool(body["body"])) == ("http.response.body", True)

    of_loop(scenario)


def test_whoever_hangs_up_meanwhile_is_told_nothing(
    full: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        before = asyncio.all_tasks()
        exchange, held = await refused(monkeypatch)
        assert held.listen is not None
        held.listen()
        exchange.incoming.put_nowait({"type": "http.disconnect"})
        await exchange.task
        assert exchange.sent == []
        assert asyncio.all_tasks() == before

    of_loop(scenario)


def test_whoever_stays_is_listened_to_no_more_once_told(
    full: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        before = asyncio.all_tasks()
        exchange, held = await refused(monkeypatch)
        assert held.listen is not None
        held.listen()
        (listener,) = asyncio.all_tasks() - before - {exchange.task}
        held.leaves.set()
        await exchange.task
        assert len(exchange.sent) == 2
        with pytest.raises(asyncio.CancelledError):
            await listener

    of_loop(scenario)


def test_a_refusal_that_is_cancelled_while_it_is_held_is_cancelled(
    full: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        exchange, _ = await refused(monkeypatch)
        exchange.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange.task
        assert exchange.sent == []

    of_loop(scenario)
