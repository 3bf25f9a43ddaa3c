"""Whoever runs the demo may look at its pools without logging in.

That is for a demo only, whose site can be reached from this machine alone. It asks no
database, so the page can be opened while there is none.
"""

from __future__ import annotations

import inspect
from typing import Any

from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware

from pooled_db.dashboard.access import PERMISSION

DASHBOARD = "/pools/"


class Onlooker:
    """Somebody of the staff who may see the pools, and nothing else."""

    is_active = is_authenticated = is_staff = True

    def has_perm(self, permission: str) -> bool:
        return permission == PERMISSION


@sync_and_async_middleware
def onlooker(get_response: Any) -> Any:
    def look(request: HttpRequest) -> None:
        if request.path.startswith(DASHBOARD):
            request.user = Onlooker()  # type: ignore[assignment]

    if inspect.iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            look(request)
            return await get_response(request)

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        look(request)
        return get_response(request)

    return synchronous
