"""The middleware at the start of a request: how old it is, and where it connects."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from pooled_db import pools
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.request.current import current_scope
from tests.answers import answer
from tests.gates import PATIENCE

both = pytest.mark.parametrize("is_async", [False, True])


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done")


async def page_async(request: HttpRequest) -> HttpResponse:
    return page(request)


def test_what_stands_above_it_takes_it_for_what_its_view_is() -> None:
    assert iscoroutinefunction(PooledConnectionMiddleware(page_async))
    assert not iscoroutinefunction(PooledConnectionMiddleware(page))


class Noting(PooledConnectionMiddleware):
    """Notes whether what Django has put it in front of is asynchronous."""

    are_async: list[bool]

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self.are_async.append(self.is_async)


@both
def test_django_puts_neither_threads_nor_event_loops_around_it(
    settings: Any, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.Noting"]
    monkeypatch.setattr(Noting, "are_async", [], raising=False)
    BaseHandler().load_middleware(is_async=is_async)
    assert Noting.are_async == [is_async]


@both
def test_a_request_is_known_by_its_method_and_path(
    settings: Any, is_async: bool
) -> None:
    settings.POOLED_DB = {"CHECKOUT": "query"}
    known_by: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        scope = current_scope()
        assert scope is not None
        known_by.append(scope.describe())
        return page(request)

    answer(view, is_async=is_async)
    assert known_by == ["GET /page"]


@both
@pytest.mark.parametrize(("exempt", "status"), [("^page$", 200), ("^pages$", 503)])
def test_exempt_paths_take_no_connection(
    settings: Any, attempts: list[str], exempt: str, status: int, is_async: bool
) -> None:
    """No server answers here."""
    settings.POOLED_DB = {"EXEMPT": [exempt]}
    assert answer(page, is_async=is_async).status_code == status
    assert len(attempts) == (status == 503)


# Its age.


@both
@pytest.mark.parametrize(
    ("setting", "is_told", "waits"),
    [
        ("X-Request-Start", True, False),
        ("X-Request-Start", False, True),
        (None, True, True),
    ],
)
def test_whoever_has_waited_for_long_enough_before_is_refused_at_once(
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    attempts: list[str],
    setting: str | None,
    is_told: bool,
    waits: bool,
    is_async: bool,
) -> None:
    """Whoever has not connects, where no server answers."""
    monkeypatch.setattr(pools.for_alias("default"), "timeout", 0.5)
    settings.POOLED_DB = {"REQUEST_START_HEADER": setting}
    headers = {"X-Request-Start": f"t={time.time() - 1.0:.3f}"} if is_told else {}
    assert answer(page, is_async=is_async, headers=headers).status_code == 503
    assert attempts == (["default"] if waits else [])


@pytest.mark.parametrize(
    ("make", "body", "is_told"),
    [
        (RequestFactory, b"", True),
        (RequestFactory, b"sent slowly", True),
        (AsyncRequestFactory, b"", True),
        # There the body is in, and nobody knows how long its client took.
        (AsyncRequestFactory, b"sent slowly", False),
    ],
)
def test_the_time_that_a_client_has_taken_to_send_is_no_age(
    settings: Any, make: Any, body: bytes, is_told: bool
) -> None:
    settings.POOLED_DB = {"REQUEST_START_HEADER": "X-Request-Start"}
    told = {"X-Request-Start": f"t={time.time() - 3.0:.3f}"}
    request: HttpRequest | ASGIRequest = make().post(
        "/page", body, content_type="text/plain", headers=told
    )
    if not body:
        request.META.pop("CONTENT_LENGTH", None)
    age = PooledConnectionMiddleware(lambda request: None)._age(request)
    assert (2.9 < age < 60.0) if is_told else age == 0.0


# Where it connects.


def test_under_asgi_it_needs_none_of_the_threads_that_all_share(
    attempts: list[str],
) -> None:
    """It connects in the request's own: the others may be at work for long."""
    is_over = threading.Event()

    async def serve() -> Any:
        middleware = PooledConnectionMiddleware(page_async)
        async with ThreadSensitiveContext():
            return await middleware(AsyncRequestFactory().get("/page"))

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        at_work = loop.run_in_executor(None, is_over.wait)
        try:
            return await asyncio.wait_for(serve(), PATIENCE)
        finally:
            is_over.set()
            await at_work

    assert asyncio.run(main()).status_code == 503
    assert attempts == ["default"]
