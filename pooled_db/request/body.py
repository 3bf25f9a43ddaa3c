"""A client that is still sending its request's body holds no connection meanwhile.

Under ASGI a request is admitted once its body is in. Under WSGI views and upload
handlers read from the client themselves: what their request holds is on call then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from django.http import HttpRequest

from .scope import Scope

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: What an application is told in place of the last part of a request that is refused,
#: so that it drops what it has.
DISCONNECT: Message = {"type": "http.disconnect"}


class Body:
    """What an ASGI server receives of a request, which *admit* lets in at its end.

    The application gets each message as it comes, and stores what it wants of it. It
    waits for the last one until the request is admitted. While it waits, the client is
    listened to: one that has gone need not be served. What *admit* raises is kept in
    ``error``; to the application the client has gone then, too. Most requests come with
    all of their body: they are admitted before the application is called.
    """

    def __init__(self, receive: Receive, admit: Callable[[], Awaitable[None]]) -> None:
        self.error: BaseException | None = None
        self._receive = receive
        self._admit = admit
        self._first: Message | None = None
        self._has_gone = False
        self._waiting: asyncio.Task[Any] | None = None
        self._cancelled_before = 0
        self._listener: asyncio.Task[Message] | None = None

    async def may_be_served(self) -> bool:
        """Receive the first message; ``False`` if it is all, and not admitted."""
        self._first = await self._next()
        return self._first is not DISCONNECT

    async def receive(self) -> Message:
        """Return the next message for the application."""
        first, self._first = self._first, None
        return await self._next() if first is None else first

    async def _next(self) -> Message:
        if self._listener is not None:
            listener = self._listener
            await asyncio.wait((listener,))
            self._listener = None
            return listener.result()
        message = await self._receive()
        if message["type"] != "http.request" or message.get("more_body"):
            return message
        return message if await self._is_admitted() else DISCONNECT

    async def _is_admitted(self) -> bool:
        # Most requests are admitted, or refused, at once: they need no listener.
        loop = asyncio.get_running_loop()
        self._wait()
        start = loop.call_soon(self._listen)
        try:
            await self._admit()
        except BaseException as error:  # noqa: BLE001 (the door raises it again)
            is_the_clients = self._uncancel()
            if not (is_the_clients and isinstance(error, asyncio.CancelledError)):
                self.error = error
            return False
        finally:
            start.cancel()
            self._waiting = None
        return True

    async def is_awaited(
        self, wait: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> bool:
        """Wait for what *wait* waits for; ``False`` if the client goes meanwhile.

        *wait* gets what listens to the client, to be called if it takes long.
        """
        listener = self._listener
        if (
            listener is not None
            and listener.done()
            and listener.result()["type"] == "http.disconnect"
        ):
            return False
        self._wait()
        try:
            await wait(self._listen)
        except asyncio.CancelledError:
            if self._uncancel():
                return False
            raise
        finally:
            self._waiting = None
        return True

    def _wait(self) -> None:
        task = self._waiting = asyncio.current_task()
        # Both since Python 3.11.
        if task is not None and hasattr(task, "cancelling"):
            self._cancelled_before = task.cancelling()

    def _uncancel(self) -> bool:
        """Take back what the client has cancelled; ``False`` if others have, too.

        A task counts who has cancelled it, and asyncio.timeout() around it relies on
        that.
        """
        if not self._has_gone:
            return False
        task = self._waiting
        if task is None or not hasattr(task, "uncancel"):
            return True
        others: int = task.uncancel()
        return others <= self._cancelled_before

    def forget(self) -> None:
        """Stop listening, and let go of what refers to this in turn.

        A refusal that only the garbage collector could free would cost more than all
        else of it: by thousands they stop the event loop for a third of a second.
        """
        self.error = None
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = asyncio.ensure_future(self._listen_for_its_end())

    async def _listen_for_its_end(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._waiting is not None:
            self._has_gone = True
            self._waiting.cancel()
        return message


class ClientStream:
    """What a WSGI server reads from the client of *scope*'s request.

    While somebody reads, what the request holds may be called back for others.
    """

    def __init__(self, stream: Any, scope: Scope) -> None:
        self._stream = stream
        self._scope = scope

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def read(self, *args: int) -> bytes:
        return self._receiving(self._stream.read, args)  # type: ignore[no-any-return]

    def readline(self, *args: int) -> bytes:
        return self._receiving(self._stream.readline, args)  # type: ignore[no-any-return]

    def readlines(self, *args: int) -> list[bytes]:
        return self._receiving(self._stream.readlines, args)  # type: ignore[no-any-return]

    def _receiving(self, read: Callable[..., Any], args: tuple[int, ...]) -> Any:
        scope = self._scope
        # A streaming body, which waits for its client anyway, may read, too.
        before, scope.receiving_since = scope.receiving_since, time.monotonic()
        try:
            return read(*args)
        finally:
            scope.receiving_since = before


def watch_body(request: HttpRequest, scope: Scope) -> None:
    """Let *scope* know when its request waits for its client, under WSGI."""
    environ = request.META
    if "wsgi.input" in environ:
        environ["wsgi.input"] = ClientStream(environ["wsgi.input"], scope)
        request._stream = ClientStream(request._stream, scope)  # type: ignore[assignment]
