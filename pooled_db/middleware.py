"""Request in, scope open and shut; 503 out."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

from asgiref.sync import (
    iscoroutinefunction,
    markcoroutinefunction,
    sync_to_async,
)
from django.conf import settings
from django.core.signals import got_request_exception
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from .exceptions import PoolTimeout, Reason, ServerUnavailable
from .pool.pool import Pool, outsiders
from .pools import for_alias
from .request.admission import Admission
from .request.adoption import adopt
from .request.body import watch_body
from .request.current import begin_request, current_scope
from .request.diagnosis import diagnose, without_frames
from .request.incoming import FromDjango
from .request.pace import hold
from .request.responses import to_django
from .request.scope import Scope

GetResponse = Callable[[HttpRequest], Any]


class PooledConnectionMiddleware:
    """Give each request one connection from its start to its end, or a 503.

    It must come before every middleware that uses the database.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.admission: Admission = Admission()
        self.is_async: bool = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.acall(request)
        scope = begin_request()
        if scope is None:
            return self.get_response(request)
        try:
            try:
                scope.entered = True
                try:
                    self._check_out(scope, request)
                except (PoolTimeout, ServerUnavailable) as refusal:
                    response = self._refuse(request, scope, refusal)
                else:
                    try:
                        response = self.get_response(request)
                    except Exception as error:
                        instead = self._instead_of_page(request, scope, error)
                        if instead is None:
                            raise
                        response = instead
                    if response.status_code == 500 or getattr(
                        response, "streaming", False
                    ):
                        response = self._judge(request, scope, response)
            finally:
                if not scope.streaming:
                    scope.close()
        except BaseException:
            # An interrupt may have come before the first line of it.
            scope.close()
            raise
        return response

    async def acall(self, request: HttpRequest) -> HttpResponseBase:
        scope = begin_request()
        if scope is None:
            return cast("HttpResponseBase", await self.get_response(request))
        try:
            try:
                scope.entered = True
                response = await self._serve_async(scope, request)
            finally:
                if not scope.streaming:
                    await scope.close_async()
        except BaseException:
            # As above, and a task may be cancelled for a second time.
            await scope.close_async()
            raise
        refused: str | None = getattr(response, _REFUSED, None)
        if refused is not None:
            await hold(refused)
        return response

    async def _serve_async(
        self, scope: Scope, request: HttpRequest
    ) -> HttpResponseBase:
        try:
            await self._check_out_async(scope, request)
        except (PoolTimeout, ServerUnavailable) as refusal:
            return self._refuse(request, scope, refusal)
        try:
            response = await self.get_response(request)
        except Exception as error:
            response = self._instead_of_page(request, scope, error)
            if response is None:
                raise
        return self._judge(request, scope, response)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        """Answer a view that was refused a connection, before Django calls it a 500.

        A connection that was lost is left to Django, which logs the traceback.
        """
        diagnosis = diagnose(exception)
        scope = current_scope()
        if diagnosis is None or diagnosis[0] is Reason.CONNECTION_LOST or scope is None:
            return None
        return self._refuse(request, scope, exception)

    # At the start.

    def _check_out(self, scope: Scope, request: HttpRequest) -> None:
        scope.request = request
        if hasattr(request, OF_TEST_CLIENT):
            scope.is_of_test_client = True
            return
        if outsiders:
            adopt(scope)
        if request.META.get("CONTENT_LENGTH"):
            watch_body(request, scope)
        admission = self.admission
        age = self._age(request) if admission.age_header else 0.0
        if admission.exempts is None or not admission.exempts(request.path):
            for alias in admission.eager:
                # A door has most likely taken it.
                if not (scope.was_admitted and scope.has_ready(alias)):
                    scope.check_out(for_alias(alias), age)

    async def _check_out_async(self, scope: Scope, request: HttpRequest) -> None:
        scope.request = request
        if hasattr(request, OF_TEST_CLIENT):
            scope.is_of_test_client = True
            return
        age = self._age(request) if self.admission.age_header else 0.0
        for pool in self.admission.pools_for(request.path):
            await scope.admit_async(pool, age)
            if not scope.check_out_idle(pool):
                await _connect_in_thread(scope, pool)

    def _age(self, request: HttpRequest) -> float:
        meta = request.META
        if meta.get("CONTENT_LENGTH") and "wsgi.input" not in meta:
            # Under ASGI the body is in, and nobody knows how long its client took.
            return 0.0
        return self.admission.age(FromDjango(request))

    # At the end.

    def _judge(
        self, request: HttpRequest, scope: Scope, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Replace the 500 that Django has made of having no connection."""
        error = getattr(request, _ERROR, None)
        if error is not None and response.status_code == 500:
            return self._refuse(request, scope, error)
        if _is_streaming(response):
            self._hand_over(scope, response)
        return response

    def _instead_of_page(
        self, request: HttpRequest, scope: Scope, error: Exception
    ) -> HttpResponseBase | None:
        """Answer where Django, with *error*, could not make its page for a 500.

        ``None`` if that was not for want of a connection.
        """
        cause = getattr(request, _ERROR, None)
        if cause is None or settings.DEBUG_PROPAGATE_EXCEPTIONS:
            return None
        _log_as_django(request, error)
        return self._refuse(request, scope, cause)

    def _hand_over(self, scope: Scope, response: Any) -> None:
        """Let a body that is made while it is sent keep what the request uses."""
        scope.return_unused()
        scope.streaming = True
        # What nobody works with is on call from here on: its client may be slow.
        scope.receiving_since = time.monotonic()
        content = response.streaming_content
        response.streaming_content = (
            _closing_async(scope, content)
            if isinstance(content, AsyncIterator)
            else _closing(scope, content)
        )
        # A body that is never begun closes nothing of its own.
        response._resource_closers.append(scope.close)

    def _refuse(
        self, request: HttpRequest, scope: Scope, error: BaseException
    ) -> HttpResponseBase:
        if request.resolver_match is not None:
            scope.begun = True  # the view has been found, and called
        refusal = self.admission.refuse(
            scope,
            error,
            FromDjango(request),
            language=getattr(request, "LANGUAGE_CODE", None),
        )
        response = to_django(refusal)
        setattr(response, _REFUSED, getattr(error, "alias", ""))
        return response


#: By what a request of Django's test client is known. It runs in its test's thread, and
#: shares that thread's connection, which is the test's.
OF_TEST_CLIENT = "_dont_enforce_csrf_checks"
#: Of which alias a response is a refusal.
_REFUSED = "_pooled_db_refused"
#: Where the error that became a 500 is kept on its request.
_ERROR = "_pooled_db_error"


def _remember_error(*, request: HttpRequest | None, **kwargs: Any) -> None:
    """Keep the error while Django turns it into a 500, if it is about connections."""
    error = sys.exc_info()[1]
    if request is not None and error is not None:
        diagnosis = diagnose(error)
        # None replaces what an earlier error of the same request has left.
        cause = None if diagnosis is None else without_frames(diagnosis[1])
        setattr(request, _ERROR, cause)


got_request_exception.connect(_remember_error)


def _log_as_django(request: HttpRequest, error: Exception) -> None:
    """Log what would have gone to the server, which logs such an error itself."""
    logging.getLogger("django.request").error(
        "Internal Server Error: %s",
        request.path,
        exc_info=error,
        extra={"status_code": 500, "request": request},
    )


def _is_streaming(response: HttpResponseBase) -> bool:
    """Whether the body is made while it is sent; a file is not made."""
    return isinstance(response, StreamingHttpResponse) and not isinstance(
        response, FileResponse
    )


def _closing(scope: Scope, content: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from content
    finally:
        scope.close()


async def _closing_async(
    scope: Scope, content: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    try:
        async for part in content:
            yield part
    finally:
        await scope.close_async()


async def _connect_in_thread(scope: Scope, pool: Pool) -> None:
    # The scope holds the permit until the thread takes it: nothing is lost if this task
    # is cancelled before, and after that the thread goes on alone.
    connect = sync_to_async(scope.check_out_admitted, thread_sensitive=True)
    await connect(pool)
