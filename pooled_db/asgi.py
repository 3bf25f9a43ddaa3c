"""Admission before Django: ``get_asgi_application`` with a door.

Django makes a thread for each ASGI request and calls its signals before any middleware
runs. A request that is to be refused should cost none of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import django
import django.core.asgi
from django.core.handlers.asgi import ASGIHandler
from django.utils.datastructures import CaseInsensitiveMapping

from . import placement, pools
from .exceptions import PoolTimeout
from .pool.pool import Pool
from .request.admission import Admission
from .request.body import Body, Message, Receive
from .request.current import open_scope
from .request.pace import hold
from .request.responses import Refusal
from .request.scope import Scope

__all__ = ["Door", "get_asgi_application"]

Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: Marks what has come through a door, so that nothing passes two.
PASSED = "pooled_db.door"


def get_asgi_application() -> Application:
    """Make Django's ASGI application, and let requests queue in front of it.

    With the app and the middleware installed, Django's own function does the same,
    unless ``POOLED_DB["DOOR"]`` is false. The middleware takes the admission over;
    without it the door alone would never answer for what goes wrong inside. Raises
    ImproperlyConfigured for wrong settings.
    """
    django.setup(set_prefix=False)
    return _door_of_django(cast("Application", ASGIHandler()))


def install() -> None:
    """Let Django's own ``get_asgi_application`` put the door in front."""
    django.core.asgi.ASGIHandler = DoorHandler  # type: ignore[attr-defined]


class DoorHandler(ASGIHandler):
    """Django's handler with the door in front, if the settings want it."""

    def __init__(self) -> None:
        super().__init__()
        django_application = cast("Application", super().__call__)
        self._entrance: Application = django_application
        if placement.wants_door():
            self._entrance = _door_of_django(django_application)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._entrance(scope, receive, send)


class FromASGI:
    """A request as the server describes it."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Message) -> None:
        self._scope = scope

    @property
    def method(self) -> str:
        method: str = self._scope["method"]
        return method

    @property
    def path(self) -> str:
        path: str = self._scope["path"]
        return path

    @property
    def address(self) -> str:
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode("latin1")
        lines = [value for key, value in self._lines() if key == wanted]
        return _joined(wanted, lines) if lines else None

    def headers(self) -> Mapping[str, str]:
        # In one pass: a client can send more of them than a loop has time for.
        lines: dict[bytes, list[bytes]] = {}
        for name, value in self._lines():
            lines.setdefault(name, []).append(value)
        return CaseInsensitiveMapping(
            {name.decode("latin1"): _joined(name, lines[name]) for name in lines}
        )

    def _lines(self) -> Iterable[tuple[bytes, bytes]]:
        lines: Iterable[tuple[bytes, bytes]] = self._scope.get("headers", ())
        return lines


def _joined(name: bytes, lines: list[bytes]) -> str:
    # Over HTTP/2 browsers send each cookie in a line of its own.
    separator = b"; " if name == b"cookie" else b","
    return separator.join(lines).decode("latin1")


class Door:
    """Admits HTTP requests to *application*, or answers them with a 503.

    Paths that begin with *passing* go through.
    """

    def __init__(self, application: Application, passing: str | None = None) -> None:
        self.application = application
        self.admission: Admission = Admission()
        self._passing = passing
        #: Whether to speak of the server's life for an application that knows none.
        self.tells_life: bool = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        pools = self._pools_for(scope)
        if not pools:
            if self.tells_life and scope["type"] == "lifespan":
                await _live(receive, send)
            else:
                await self.application(scope, receive, send)
            return
        request_scope = open_scope()
        if not request_scope.at_door:
            await self.application(scope, receive, send)
            return
        request_scope.incoming = incoming = FromASGI(scope)
        age = self.admission.age(incoming) if self.admission.age_header else 0.0
        body = Body(receive, partial(_admit, request_scope, pools, age))
        try:
            if await body.may_be_served():
                await self.application({**scope, PASSED: True}, body.receive, send)
            if body.error is not None:
                raise body.error
        except PoolTimeout as error:
            if error is not body.error:
                raise
            refusal = self.admission.refuse(request_scope, error, incoming)
            # Whoever waits to be told so holds nothing, of no pool.
            await request_scope.close_async()
            if await body.is_awaited(partial(hold, error.alias)):
                await _send(send, refusal)
        finally:
            body.forget()
            # Once the middleware has it, the request can go on after this task, which
            # was cancelled: Django's handler leaves a task behind then.
            if request_scope.at_door:
                await request_scope.close_async()

    def _pools_for(self, scope: Message) -> Sequence[Pool]:
        if scope["type"] != "http" or PASSED in scope:
            return ()
        path: str = scope["path"]
        if self._passing is not None and path.startswith(self._passing):
            return ()
        return self.admission.pools_for(path)


def _door_of_django(application: Application) -> Door:
    door = Door(application, placement.served_above())
    door.tells_life = True
    return door


async def _live(receive: Receive, send: Send) -> None:
    """Speak the lifespan protocol, which Django does not, and close the pools at last.

    A server may end by the signal that it was sent, as uvicorn does. Nothing of the
    process is cleared up then, and the database server would warn of each connection.
    """
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await asyncio.to_thread(pools.dispose_all)
    await send({"type": "lifespan.shutdown.complete"})


async def _admit(request_scope: Scope, pools: Sequence[Pool], age: float) -> None:
    for pool in pools:
        await request_scope.admit_async(pool, age)


async def _send(send: Send, refusal: Refusal) -> None:
    headers = [
        (name.lower().encode("latin1"), value.encode("latin1"))
        for name, value in refusal.headers.items()
    ]
    await send(
        {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": headers,
        }
    )
    await send({"type": "http.response.body", "body": refusal.body})
