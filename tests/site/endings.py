"""Views that end in unusual ways, and middleware that does."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client

from .models import Item
from .views import ask

#: A stream that no socket's buffer swallows whole.
CHUNKS = 300
CHUNK = "x" * 65_536


def not_found(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    raise Http404


def denied(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    raise PermissionDenied


def exit_the_system(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    raise SystemExit(3)


def interrupt(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    raise KeyboardInterrupt


def exit_in_atomic(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        Item.objects.create(name="never committed")
        raise SystemExit(3)


def long_stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        for _ in range(CHUNKS):
            ask("SELECT 1")
            yield CHUNK

    return StreamingHttpResponse(body())


async def long_stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        for _ in range(CHUNKS):
            await sync_to_async(ask)("SELECT 1")
            yield CHUNK

    return StreamingHttpResponse(body())


def stream_that_fails(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        yield f"{ask('SELECT 1')}\n"
        raise ValueError("in the middle of the body")

    return StreamingHttpResponse(body())


def thread_goes_on(request: HttpRequest) -> HttpResponse:
    """Leave a thread behind that works for longer than the request."""
    ask("SELECT 1")
    started = threading.Event()

    def work() -> None:
        with transaction.atomic():
            started.set()
            ask("SELECT SLEEP(0.2)")

    threading.Thread(target=work).start()
    started.wait()
    return HttpResponse("left a thread")


def on_commit(request: HttpRequest) -> HttpResponse:
    """Answer what hooks saw: within a transaction, and outside of one."""
    seen: list[object] = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append(ask("SELECT 1")))
        ask("SELECT 2")
    transaction.on_commit(lambda: seen.append(ask("SELECT 3")))
    return HttpResponse(str(seen))


def on_commit_fails(request: HttpRequest) -> HttpResponse:
    def fail() -> None:
        raise ValueError("in a hook")

    with transaction.atomic():
        transaction.on_commit(fail)
        ask("SELECT 1")
    return HttpResponse("unreachable")


def forgotten_hook(request: HttpRequest) -> HttpResponse:
    """Register a hook for a commit that never comes."""
    transaction.atomic().__enter__()
    transaction.on_commit(lambda: Item.objects.create(name="from another request"))
    ask("SELECT 1")
    return HttpResponse("registered")


def count(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Item.objects.filter(name=request.GET["name"]).count()))


def nested_client(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    inner = Client().get("/queries")
    return HttpResponse(f"{inner.status_code} {ask('SELECT 2')}")


def nested_application(request: HttpRequest) -> HttpResponse:
    """Send a request to the site's own application, as it is served."""
    from tests.wsgi import application

    before = ask("SELECT CONNECTION_ID()")
    environ: dict[str, Any] = {"PATH_INFO": "/queries", "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    inner = application(environ, lambda *args: None)
    seen = {b"".join(inner).decode(), str(before)}
    inner.close()
    return HttpResponse(" and ".join({*seen, str(ask("SELECT CONNECTION_ID()"))}))


async def nested_application_async(request: HttpRequest) -> HttpResponse:
    from tests.asgi import application

    messages: list[Any] = []

    async def receive() -> Any:
        if messages:
            await asyncio.Event().wait()
        messages.append({})
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        messages.append(message)

    before = await sync_to_async(ask)("SELECT CONNECTION_ID()")
    scope = {"type": "http", "method": "GET", "path": "/queries", "headers": []}
    await application(scope, receive, send)
    after = await sync_to_async(ask)("SELECT CONNECTION_ID()")
    seen = {messages[-1]["body"].decode(), str(before), str(after)}
    return HttpResponse(" and ".join(seen))


Middleware = Callable[[HttpRequest], Any]


def fails_before(get_response: Middleware) -> Middleware:
    def middleware(request: HttpRequest) -> Any:
        if request.path.startswith("/exempt/"):
            return get_response(request)
        ask("SELECT 1")
        raise ValueError("before the view")

    return middleware


def fails_after(get_response: Middleware) -> Middleware:
    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        if request.path.startswith("/exempt/"):
            return response
        ask("SELECT 1")
        raise ValueError("after the view")

    return middleware
