"""Requests that a view makes of its own site, and what others have left open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.request.current import current_scope, open_scope
from pooled_db.request.scope import Scope
from tests.answers import answer, scope_of_request

pytestmark = pytest.mark.usefixtures("asks_no_server")


def test_a_request_that_a_view_makes_of_its_own_site_has_the_views_scope() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        scope = scope_of_request()
        assert open_scope() is scope
        assert (scope.is_open, scope.at_door) == (True, False)
        return HttpResponse("done")

    assert answer(view, is_async=False).content == b"done"


def test_what_it_asks_through_the_middleware_leaves_that_scope_open() -> None:
    seen: list[object] = []

    def inner(request: HttpRequest) -> HttpResponse:
        seen.append(current_scope())
        return HttpResponse(f"inner {request.path}")

    def view(request: HttpRequest) -> HttpResponse:
        response = PooledConnectionMiddleware(inner)(RequestFactory().get("/inner"))
        assert seen == [scope_of_request()]
        return HttpResponse(b"outer and " + response.content)

    assert answer(view, is_async=False).content == b"outer and inner /inner"


def test_so_does_what_it_asks_on_an_event_loop() -> None:
    seen: list[object] = []

    async def inner(request: HttpRequest) -> HttpResponse:
        seen.append(current_scope())
        return HttpResponse(f"inner {request.path}")

    async def view(request: HttpRequest) -> HttpResponse:
        response = await PooledConnectionMiddleware(inner)(request)
        assert seen == [scope_of_request()]
        return HttpResponse(b"outer and " + response.content)

    async def main() -> HttpResponse:
        request = AsyncRequestFactory().get("/page")
        answered: HttpResponse = await PooledConnectionMiddleware(view)(request)
        return answered

    assert asyncio.run(main()).content == b"outer and inner /page"


def test_a_body_that_was_never_closed_ends_with_the_next_request() -> None:
    scopes: list[Scope] = []

    def view(request: HttpRequest) -> Any:
        scopes.append(scope_of_request())
        return StreamingHttpResponse(iter([b"part"]))

    kept = answer(view, is_async=False)
    following = open_scope()
    assert (scopes[0].is_open, following.is_open, following.at_door) == (
        False,
        True,
        True,
    )
    following.close()
    kept.close()
