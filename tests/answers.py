"""What the middleware answers to a request whose view is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.http import HttpRequest
from django.test import AsyncRequestFactory, RequestFactory

from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.request.current import current_scope
from pooled_db.request.scope import Scope

View = Callable[[HttpRequest], Any]


def scope_of_request() -> Scope:
    """That of the request whose view asks."""
    scope = current_scope()
    assert scope is not None
    return scope


def answer(
    view: View,
    *,
    is_async: bool,
    headers: dict[str, str] | None = None,
    method: str = "GET",
) -> Any:
    """Let the middleware answer a request whose view is *view*."""
    if not is_async:
        request = RequestFactory().generic(method, "/page", headers=headers)
        return PooledConnectionMiddleware(view)(request)
    return asyncio.run(_answer_async(view, headers, method))


async def _answer_async(view: View, headers: dict[str, str] | None, method: str) -> Any:
    async def view_async(request: HttpRequest) -> Any:
        return view(request)

    answered: Awaitable[Any] = PooledConnectionMiddleware(view_async)(
        AsyncRequestFactory().generic(method, "/page", headers=headers)
    )
    return await answered
