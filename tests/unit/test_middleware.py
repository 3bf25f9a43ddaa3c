"""The middleware itself: what it ends, what it hands over, and what it waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from pooled_db import middleware
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.request.current import current_scope, open_scope
from pooled_db.request.scope import Scope
from pooled_db.wsgi import Door
from tests.errors import timeout

View = Callable[[HttpRequest], Any]


@pytest.fixture(autouse=True)
def asks_no_server(settings: Any) -> None:
    settings.POOLED_DB = {"CHECKOUT": "query"}


def answer(view: View, *, is_async: bool) -> Any:
    """Let the middleware answer a request whose view is *view*."""
    if not is_async:
        return PooledConnectionMiddleware(view)(RequestFactory().get("/page"))

    async def view_async(request: HttpRequest) -> Any:
        return view(request)

    async def main() -> Any:
        answered: Awaitable[Any] = PooledConnectionMiddleware(view_async)(
            AsyncRequestFactory().get("/page")
        )
        return await answered

    return asyncio.run(main())


def scope_of_request() -> Scope:
    scope = current_scope()
    assert scope is not None
    return scope


def fail(request: HttpRequest | None, error: Exception) -> None:
    """Tell of *error* as Django does while it makes a 500 of it."""
    try:
        raise error
    except type(error):
        got_request_exception.send(sender=None, request=request)


both = pytest.mark.parametrize("is_async", [False, True])


@both
def test_the_end_of_the_request_is_the_end_of_its_scope(is_async: bool) -> None:
    scopes: list[Scope] = []

    def view(request: HttpRequest) -> HttpResponse:
        scopes.append(scope_of_request())
        assert scopes[0].is_open
        assert scopes[0].entered
        return HttpResponse("done")

    assert answer(view, is_async=is_async).content == b"done"
    assert not scopes[0].is_open


class Unwilling(StreamingHttpResponse):
    """A response that lets nobody replace its content."""

    made = False

    @property
    def streaming_content(self) -> Iterator[bytes]:
        return iter(())

    @streaming_content.setter
    def streaming_content(self, content: Any) -> None:
        if self.made:
            raise RuntimeError("this content stays")
        self.made = True


@both
def test_a_body_that_cannot_be_handed_over_ends_with_its_request(
    is_async: bool,
) -> None:
    scopes: list[Scope] = []

    def view(request: HttpRequest) -> HttpResponse:
        scopes.append(scope_of_request())
        return Unwilling()  # type: ignore[return-value]

    with pytest.raises(RuntimeError, match="this content stays"):
        answer(view, is_async=is_async)
    assert not scopes[0].is_open


@both
def test_while_a_body_is_sent_its_request_waits_for_its_client(is_async: bool) -> None:
    """So what nobody works with is on call."""
    scopes: list[Scope] = []

    async def parts() -> AsyncIterator[bytes]:
        yield b"part"

    def view(request: HttpRequest) -> Any:
        scopes.append(scope_of_request())
        return StreamingHttpResponse(parts() if is_async else iter([b"part"]))

    before = time.monotonic()
    response = answer(view, is_async=is_async)
    (scope,) = scopes
    assert scope.is_open
    assert scope.receiving_since is not None
    assert before <= scope.receiving_since <= time.monotonic()
    assert isinstance(response.streaming_content, AsyncIterator) is is_async
    if is_async:

        async def send() -> list[bytes]:
            return [part async for part in response.streaming_content]

        assert asyncio.run(send()) == [b"part"]
    else:
        assert list(response.streaming_content) == [b"part"]
    assert not scope.is_open


def test_a_body_that_is_never_begun_ends_when_its_response_is_closed() -> None:
    scopes: list[Scope] = []

    def view(request: HttpRequest) -> Any:
        scopes.append(scope_of_request())
        return StreamingHttpResponse(iter([b"part"]))

    response = answer(view, is_async=False)
    assert scopes[0].is_open
    response.close()
    assert not scopes[0].is_open


# Refusals.


def test_on_an_event_loop_a_refusal_leaves_when_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under WSGI, where a thread would be kept for it, it leaves at once."""
    held: list[str] = []

    async def hold(alias: str) -> None:
        held.append(alias)

    monkeypatch.setattr(middleware, "hold", hold)

    def view(request: HttpRequest) -> Any:
        of_django = PooledConnectionMiddleware(lambda request: None)
        return of_django.process_exception(request, timeout())

    assert answer(view, is_async=False).status_code == 503
    assert not held
    assert answer(view, is_async=True).status_code == 503
    assert held == ["billing"]
    assert answer(lambda request: HttpResponse(), is_async=True).status_code == 200
    assert held == ["billing"]


@both
def test_the_500_that_was_made_of_having_no_connection_is_a_503(is_async: bool) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        fail(request, timeout())
        return HttpResponse(status=500)

    assert answer(view, is_async=is_async).status_code == 503


@both
def test_what_was_answered_all_the_same_stays_the_answer(is_async: bool) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        fail(request, timeout())
        return HttpResponse("from the cache", status=200)

    assert answer(view, is_async=is_async).status_code == 200


@both
def test_a_mistake_after_that_is_a_mistake(is_async: bool) -> None:
    """Whatever an earlier error of the same request has left."""

    def view(request: HttpRequest) -> HttpResponse:
        for error in (timeout(), ValueError("a mistake")):
            fail(request, error)
        return HttpResponse(status=500)

    assert answer(view, is_async=is_async).status_code == 500


def test_an_error_of_no_request_is_nobodys() -> None:
    """Other libraries send the signal, too."""
    fail(None, timeout())


def test_a_signal_without_an_error_changes_nothing() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        fail(request, timeout())
        got_request_exception.send(sender=None, request=request)
        return HttpResponse(status=500)

    assert answer(view, is_async=False).status_code == 503


# The age of a request.


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


def test_a_refusal_has_the_headers_that_the_project_wants(settings: Any) -> None:
    settings.POOLED_DB = {"CHECKOUT": "query", "HEADERS": {"X-Frame-Options": "DENY"}}

    def view(request: HttpRequest) -> HttpResponse:
        fail(request, timeout())
        return HttpResponse(status=500)

    assert answer(view, is_async=False)["X-Frame-Options"] == "DENY"


# Requests within others.


def test_a_request_that_a_view_makes_of_its_own_site_has_the_views_scope() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        scope = scope_of_request()
        assert open_scope() is scope
        assert (scope.is_open, scope.at_door) == (True, False)
        return HttpResponse("done")

    assert answer(view, is_async=False).content == b"done"


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


# The door of WSGI.


@pytest.mark.parametrize(("path", "passes"), [("/static/a.css", True), ("/a", False)])
def test_what_is_served_above_the_middleware_passes_the_door(
    settings: Any, path: str, passes: bool
) -> None:
    settings.POOLED_DB = {}
    scopes: list[Scope | None] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        scopes.append(current_scope())
        return [b"served"]

    door = Door(application, passing="/static/")
    environ = RequestFactory()._base_environ(PATH_INFO=path)  # type: ignore[attr-defined]
    assert list(door(environ, pytest.fail)) == [b"served"]
    assert [scope is None for scope in scopes] == [passes]
    assert current_scope() is None
