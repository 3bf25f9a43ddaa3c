"""Admission before Django: ``get_asgi_application`` with a door.

Django makes a thread for each ASGI request and calls its signals before any middleware
runs. A request that is to be refused should cost none of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from django.core.asgi import get_asgi_application as get_django_application

from .admission import Admission
from .exceptions import PoolTimeout
from .pace import process_pace
from .pool import Pool
from .responses import Refusal
from .scope import Scope, open_scope

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def get_asgi_application() -> Application:
    """Make Django's ASGI application, and let requests queue in front of it.

    The middleware takes the admission over; without it the door alone would never
    answer for what goes wrong inside. Raises ImproperlyConfigured for wrong settings.
    """
    return Door(cast("Application", get_django_application()))


class Door:
    """Admits HTTP requests to *application*, or answers them with a 503."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.admission = Admission()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        pools = (
            self.admission.pools_for(scope["path"]) if scope["type"] == "http" else ()
        )
        if not pools:
            await self.application(scope, receive, send)
            return
        request_scope = open_scope()
        request_scope.at_door = True
        try:
            waiting = Waiting(receive)
            try:
                await waiting.until(self._admit(request_scope, pools, scope))
            except PoolTimeout as error:
                refusal = self._refuse(request_scope, error, scope)
                await process_pace.hold_async()
                await _send(send, refusal)
                return
            except ClientGone:
                return
            await self.application(scope, waiting.receive, send)
        finally:
            if request_scope.is_open and not request_scope.streaming:
                await request_scope.close_async()

    async def _admit(
        self, request_scope: Scope, pools: Sequence[Pool], scope: Message
    ) -> None:
        header = self.admission.age_header
        age = self.admission.age(_header(scope, header)) if header else 0.0
        for pool in pools:
            await request_scope.admit_async(pool, age)

    def _refuse(
        self, request_scope: Scope, error: PoolTimeout, scope: Message
    ) -> Refusal:
        return self.admission.refuse(
            request_scope,
            error,
            method=scope["method"],
            accept=_header(scope, "accept") or "",
        )


class ClientGone(Exception):
    """The client has hung up while its request was waiting."""


class Waiting:
    """Listens for the client's end while its request waits.

    What arrives of the request meanwhile is kept for the application: one message,
    after which a client that is still sending has to wait itself.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: list[Message] = []

    async def until(self, admitted: Any) -> None:
        """Await *admitted*. Raises ClientGone if the client goes away first."""
        task = asyncio.ensure_future(admitted)
        # Most are admitted, or refused, at once: they need no listener.
        await asyncio.sleep(0)
        listener = None if task.done() else asyncio.ensure_future(self._listen())
        try:
            if listener is not None:
                await asyncio.wait(
                    (task, listener), return_when=asyncio.FIRST_COMPLETED
                )
                if not task.done():
                    listener.result()
                    raise ClientGone
            await task
        finally:
            task.cancel()
            if listener is not None:
                listener.cancel()
                await asyncio.wait((listener,))

    async def receive(self) -> Message:
        """Give the application what was kept, then what comes."""
        return self._kept.pop() if self._kept else await self._receive()

    async def _listen(self) -> None:
        """Return when the client has gone, and only then."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            return
        self._kept.append(message)
        if not message.get("more_body", False):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
        await asyncio.Event().wait()


def _header(scope: Message, name: str) -> str | None:
    wanted = name.lower().encode("latin1")
    for key, value in scope["headers"]:
        if key == wanted:
            text: str = value.decode("latin1")
            return text
    return None


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
