"""Admission before Django: ``get_asgi_application`` with a door.

Django makes a thread for each ASGI request and calls its signals before any middleware
runs. A request that is to be refused should cost none of that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import cast

from django.core.asgi import get_asgi_application as get_django_application

from .exceptions import PoolTimeout
from .pool.pool import Pool
from .request.admission import Admission
from .request.body import Body, Message, Receive
from .request.current import open_scope
from .request.pace import process_pace
from .request.responses import Refusal
from .request.scope import Scope

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
        header = self.admission.age_header
        age = self.admission.age(_header(scope, header)) if header else 0.0
        body = Body(receive, partial(_admit, request_scope, pools, age))
        try:
            await self.application(scope, body.receive, send)
            if body.error is not None:
                raise body.error
        except PoolTimeout as error:
            if error is not body.error:
                raise
            refusal = self._refuse(request_scope, error, scope)
            await process_pace.hold_async()
            await _send(send, refusal)
        finally:
            body.forget()
            # Once the middleware has it, the request can go on after this task, which
            # was cancelled: Django's handler leaves a task behind then.
            if request_scope.at_door:
                await request_scope.close_async()

    def _refuse(
        self, request_scope: Scope, error: PoolTimeout, scope: Message
    ) -> Refusal:
        return self.admission.refuse(
            request_scope,
            error,
            method=scope["method"],
            header=lambda name: _header(scope, name),
        )


async def _admit(request_scope: Scope, pools: Sequence[Pool], age: float) -> None:
    for pool in pools:
        await request_scope.admit_async(pool, age)


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
