"""What a refusal leaves to the garbage collector: nothing.

Thousands of refusals that refer to themselves make the collector stop an event loop for
a third of a second, again and again.
"""

from __future__ import annotations

import asyncio
import gc
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django import test
from django.db import connections

from pooled_db import asgi, pools, wsgi
from pooled_db.pool.pool import Pool
from pooled_db.request import responses

REFUSALS = 20


def left_behind(act: Callable[[], None]) -> Counter[str]:
    """What of the library's own only the garbage collector frees after each *act*.

    What is there once is another test's: its pool's upkeep may just have let go of it.
    """
    act()  # what is made once is made now
    gc.collect()
    gc.disable()
    try:
        for _ in range(REFUSALS):
            act()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(filter(None, map(_name, gc.garbage)))
        return Counter({name: n for name, n in left.items() if n >= REFUSALS})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _name(thing: object) -> str | None:
    if isinstance(thing, types.FrameType):
        code = thing.f_code
        return code.co_name if "/pooled_db/" in code.co_filename else None
    kind = type(thing)
    if kind.__module__.startswith("pooled_db.backends."):
        return None  # Django's wrappers refer to themselves
    return kind.__qualname__ if kind.__module__.startswith("pooled_db.") else None


def the_asgi_door() -> Callable[[], None]:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"

    door = asgi.Door(application)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def exchange() -> None:
        incoming = asyncio.Queue[Any]()
        incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        headers: list[Any] = []
        scope = {"type": "http", "path": "/", "method": "GET", "headers": headers}
        await door(scope, incoming.get, send)

    def refused() -> None:
        asyncio.run(exchange())
        assert sent[0]["status"] == 503

    return refused


def the_wsgi_door() -> Callable[[], None]:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("it was let in")

    door = wsgi.Door(application)

    def start_response(status: str, headers: Any) -> None:
        assert status.startswith("503")

    def refused() -> None:
        door({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, start_response)

    return refused


def the_middleware() -> Callable[[], None]:
    client = test.Client()

    def refused() -> None:
        assert client.get("/queries").status_code == 503

    return refused


def the_asynchronous_middleware() -> Callable[[], None]:
    client = test.AsyncClient()

    async def exchange() -> None:
        assert (await client.get("/queries-async")).status_code == 503

    return lambda: asyncio.run(exchange())


@pytest.fixture
def pool(transactional_db: None) -> Pool:
    connections["default"].close()
    return pools.for_alias("default")


@pytest.mark.usefixtures("like_a_server")
@pytest.mark.parametrize(
    "entrance",
    [the_asgi_door, the_wsgi_door, the_middleware, the_asynchronous_middleware],
)
@pytest.mark.parametrize("timeout", [0.0, 0.01])
def test_a_refusal_leaves_nothing_behind(
    full_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    entrance: Callable[[], Callable[[], None]],
    timeout: float,
) -> None:
    monkeypatch.setattr(full_pool, "timeout", timeout)
    # To look for a page of the project's leaves a cycle of Django's, once a second.
    monkeypatch.setattr(responses, "PAGE_SECONDS", 3600.0)

    assert not left_behind(entrance())
