"""Admission before Django: ``get_asgi_application`` with a door.

Django makes a thread for each ASGI request and calls its signals before any middleware
runs. A request that is to be refused should cost none of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from django.core.asgi import get_asgi_application as get_django_application

from .exceptions import PoolTimeout
from .pool.pool import Pool
from .request.admission import Admission
from .request.current import open_scope
from .request.pace import process_pace
from .request.responses import Refusal
from .request.scope import Scope

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
        self.admission: Admission = Admission()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        pools = (
            self.admission.pools_for(scope["path"]) if scope["type"] == "http" else ()
        )
        if not pools:
            await self.application(scope, receive, send)
            return
        request_scope = open_scope()
        request_scope.at_door = True
        request_scope.asked = (scope["method"], scope["path"])
        client = Client(receive)
        try:
            try:
                with client:
                    await self._admit(request_scope, pools, scope)
            except PoolTimeout as error:
                refusal = self._refuse(request_scope, error, scope)
                await process_pace.hold_async()
                await _send(send, refusal)
                return
            except asyncio.CancelledError:
                if client.has_gone:
                    return
                raise
            await self.application(scope, client.receive, send)
        finally:
            client.forget()
            # Once the middleware has it, the request can go on after this task, which
            # was cancelled: Django's handler leaves a task behind then.
            if request_scope.at_door:
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
            header=lambda name: _header(scope, name),
        )


class Client:
    """Listens for the client's end while its request waits, and then cancels the wait.

    What arrives of the request meanwhile is kept for the application: one message,
    after which a client that is still sending has to wait itself.
    """

    def __init__(self, receive: Receive) -> None:
        self.has_gone: bool = False
        self._receive = receive
        self._kept: list[Message] = []
        self._listener: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = asyncio.current_task(loop)
        # Most requests are admitted, or refused, at once: they need no listener.
        self._start = loop.call_soon(self._listen)

    def __exit__(self, *exc_info: object) -> None:
        self._start.cancel()
        self._waiting = None

    async def receive(self) -> Message:
        """Give the application what was kept, then what comes."""
        if not self._kept and self._listener is not None:
            await asyncio.wait((self._listener,))
        if self._kept:
            return self._kept.pop(0)
        return await self._receive()

    def forget(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.cancel()

    def _listen(self) -> None:
        self._listener = asyncio.ensure_future(self._keep_messages())

    async def _keep_messages(self) -> None:
        while self._waiting is not None:
            message = await self._receive()
            self._kept.append(message)
            if message["type"] == "http.disconnect":
                if self._waiting is not None:
                    self.has_gone = True
                    self._waiting.cancel()
                return
            if message.get("more_body", False):
                return


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
