"""The middleware itself: what it ends, what it hands over, and what it waits for."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    StreamingHttpResponse,
)
from django.test import RequestFactory

from pooled_db import middleware
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.pool import Pool
from pooled_db.request.scope import Scope
from tests.answers import answer, scope_of_request
from tests.errors import timeout
from tests.harness.interrupts import Interrupted

pytestmark = pytest.mark.usefixtures("asks_no_server")


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


@both
def test_a_streaming_response_keeps_nothing_that_its_view_has_not_used(
    is_async: bool,
) -> None:
    pool = Pool("default", pytest.fail, pool_size=1)

    def view(request: HttpRequest) -> Any:
        scope_of_request().admit(pool)
        assert pool.gate.free == 0
        return StreamingHttpResponse(iter([b"part"]))

    response = answer(view, is_async=is_async)
    assert pool.gate.free == 1
    response.close()


class Upload(io.BytesIO):
    """What a client sends, which notes for whom it is waited meanwhile."""

    def __init__(self, sent: bytes) -> None:
        super().__init__(sent)
        self.waited_for: list[bool] = []

    def read(self, size: int | None = -1) -> bytes:
        self.waited_for.append(scope_of_request().receiving_since is not None)
        return super().read(size)


@pytest.mark.parametrize(
    "read",
    [
        HttpRequest.read,
        lambda request: request.body,
        lambda request: request.META["wsgi.input"].read(4),
    ],
)
def test_while_a_body_is_read_its_request_waits_for_its_client(
    read: Callable[[HttpRequest], bytes],
) -> None:
    upload = Upload(b"sent")

    def view(request: HttpRequest) -> HttpResponse:
        content = read(request)
        assert scope_of_request().receiving_since is None
        return HttpResponse(content)

    sent: dict[str, Any] = {"wsgi.input": upload, "CONTENT_LENGTH": "4"}
    request = RequestFactory().post("/page", content_type="text/plain", **sent)
    assert PooledConnectionMiddleware(view)(request).content == b"sent"
    assert upload.waited_for
    assert all(upload.waited_for)


def test_a_body_that_is_never_begun_ends_when_its_response_is_closed() -> None:
    scopes: list[Scope] = []

    def view(request: HttpRequest) -> Any:
        scopes.append(scope_of_request())
        return StreamingHttpResponse(iter([b"part"]))

    response = answer(view, is_async=False)
    assert scopes[0].is_open
    response.close()
    assert not scopes[0].is_open


@both
@pytest.mark.parametrize("kind", [HttpResponse, FileResponse, StreamingHttpResponse])
def test_only_a_body_that_is_made_while_it_is_sent_keeps_its_scope_open(
    is_async: bool, kind: type[Any]
) -> None:
    """A file is sent without a connection."""
    scopes: list[Scope] = []

    def view(request: HttpRequest) -> Any:
        scopes.append(scope_of_request())
        return kind(io.BytesIO(b"sent"))

    response = answer(view, is_async=is_async)
    assert scopes[0].is_open is (kind is StreamingHttpResponse)
    response.close()
    assert not scopes[0].is_open


@both
def test_an_interrupt_of_its_end_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    scopes: list[Scope] = []

    def interrupted(self: Scope) -> Any:
        monkeypatch.undo()
        raise Interrupted

    def view(request: HttpRequest) -> HttpResponse:
        scopes.append(scope_of_request())
        return HttpResponse("done")

    monkeypatch.setattr(Scope, "close_async" if is_async else "close", interrupted)
    with pytest.raises(Interrupted):
        answer(view, is_async=is_async)
    assert not scopes[0].is_open


# Refusals.


def test_where_there_is_no_request_an_error_is_left_to_django() -> None:
    """As in a thread of its own that a middleware below has started for the view."""
    of_django = PooledConnectionMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/page")
    assert of_django.process_exception(request, timeout()) is None


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


@both
def test_a_page_for_it_that_fails_is_logged_as_the_500_that_the_client_does_not_get(
    caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    caplog.set_level(logging.ERROR)
    logging.getLogger("django").addHandler(caplog.handler)
    of_page = RuntimeError("the page asks the database, too")

    def view(request: HttpRequest) -> HttpResponse:
        fail(request, timeout())
        raise of_page

    try:
        assert answer(view, is_async=is_async).status_code == 503
    finally:
        logging.getLogger("django").removeHandler(caplog.handler)
    (record,) = [one for one in caplog.records if one.name == "django.request"]
    told: Any = record
    assert record.getMessage() == "Internal Server Error: /page"
    assert record.exc_info is not None
    assert record.exc_info[1] is of_page
    assert (told.status_code, told.request.path) == (500, "/page")


@both
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("how", ["page", "page that fails", "exception"])
def test_only_who_can_do_no_harm_by_it_is_told_when_to_try_again(
    is_async: bool, method: str, begun: bool, how: str
) -> None:
    def view(request: HttpRequest) -> Any:
        scope_of_request().begun = begun
        if how == "exception":
            of_django = PooledConnectionMiddleware(lambda request: None)
            return of_django.process_exception(request, timeout())
        fail(request, timeout())
        if how == "page that fails":
            raise RuntimeError("the page asks the database, too")
        return HttpResponse(status=500)

    response = answer(view, is_async=is_async, method=method)
    assert response.status_code == 503
    assert ("Retry-After" in response) is (method == "GET" or not begun)


def test_an_error_of_no_request_is_nobodys() -> None:
    """Other libraries send the signal, too."""
    fail(None, timeout())


def test_a_signal_without_an_error_changes_nothing() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        fail(request, timeout())
        got_request_exception.send(sender=None, request=request)
        return HttpResponse(status=500)

    assert answer(view, is_async=False).status_code == 503


def test_a_refusal_has_the_headers_that_the_project_wants(settings: Any) -> None:
    settings.POOLED_DB = {"CHECKOUT": "query", "HEADERS": {"X-Frame-Options": "DENY"}}

    def view(request: HttpRequest) -> HttpResponse:
        fail(request, timeout())
        return HttpResponse(status=500)

    assert answer(view, is_async=False)["X-Frame-Options"] == "DENY"
