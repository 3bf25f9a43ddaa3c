"""Views whose requests are more than one thread, and code around them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from asgiref.sync import sync_to_async
from django.core.signals import request_finished, request_started
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.views import defaults

from .models import Item
from .views import ask

SELECT = "SELECT CONNECTION_ID()"


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Render a page that asks the database, as a menu in a base template does."""
    if request.path != "/no-such-page":
        return defaults.page_not_found(request, exception)
    template = engines["django"].from_string("no {{ page }}")
    return HttpResponse(template.render({"page": ask("SELECT 'page'")}), status=404)


async def query_and_thread(request: HttpRequest) -> JsonResponse:
    """Ask in the request's own thread, and in another one that is awaited."""
    first = await sync_to_async(ask)(SELECT)
    return JsonResponse([first, await asyncio.to_thread(ask, SELECT)], safe=False)


async def gather(request: HttpRequest) -> JsonResponse:
    """Ask in some threads at once."""
    number = int(request.GET.get("n", 6))
    sql = f"SELECT CONNECTION_ID() + SLEEP({float(request.GET.get('seconds', 0))})"
    asked = [asyncio.to_thread(ask, sql) for _ in range(number)]
    return JsonResponse(await asyncio.gather(*asked), safe=False)


async def in_executor(request: HttpRequest) -> HttpResponse:
    """Ask in the request's own thread and in one that knows nothing of the request."""
    await sync_to_async(ask)(SELECT)
    loop = asyncio.get_running_loop()
    asked = [loop.run_in_executor(None, ask, SELECT) for _ in range(3)]
    return JsonResponse(await asyncio.gather(*asked), safe=False)


def thread_pool(request: HttpRequest) -> HttpResponse:
    ask(SELECT)
    with ThreadPoolExecutor(3) as threads:
        return JsonResponse(list(threads.map(ask, [SELECT] * 3)), safe=False)


async def cursor_across(request: HttpRequest) -> HttpResponse:
    """Keep a cursor while another thread asks, then go on with it."""

    def begin() -> Any:
        cursor = connection.cursor()
        cursor.execute("SELECT 1 UNION SELECT 2")
        return cursor

    def go_on(cursor: Any) -> list[Any]:
        rows = list(cursor.fetchall())
        cursor.execute("SELECT 3")
        rows += cursor.fetchall()
        cursor.close()
        return [value for (value,) in rows]

    cursor = await sync_to_async(begin)()
    other = await asyncio.to_thread(_ask_and_close if "close" in request.GET else ask_4)
    return JsonResponse([*await sync_to_async(go_on)(cursor), other], safe=False)


def ask_4() -> object:
    return ask("SELECT 4")


def _ask_and_close() -> object:
    answer = ask("SELECT 4")
    connection.close()
    return answer


#: What a thread may leave in its session, and how the next user would see it.
LEFT: dict[str, tuple[str, str]] = {
    "variable": ("SET @mine = 'mine'", "SELECT @mine"),
    "time zone": ("SET time_zone = '+05:00'", "SELECT @@time_zone"),
    "lock": ("SELECT GET_LOCK('mine', 0)", "SELECT IS_USED_LOCK('mine')"),
}


async def leave_in_thread(request: HttpRequest) -> HttpResponse:
    """Let another thread of the request leave something in its session."""
    await sync_to_async(ask)(SELECT)
    for sql in LEFT[request.GET["what"]][:1]:
        await asyncio.to_thread(ask, sql)
    return HttpResponse("left")


async def ask_after_leaving_in_thread(request: HttpRequest) -> HttpResponse:
    """Let a thread leave something in its session, so that the next needs another."""
    await asyncio.to_thread(ask, LEFT[request.GET["what"]][0])
    await asyncio.sleep(0.1)
    return HttpResponse(str(await sync_to_async(ask)(SELECT)))


def join_in_atomic_block(request: HttpRequest) -> HttpResponse:
    """Wait in a transaction for a thread that needs a connection, too."""
    # An executor's thread has a context of its own: it knows of no request.
    context = contextvars.Context() if "alone" in request.GET else copy_context()
    with transaction.atomic(), ThreadPoolExecutor(1) as thread:
        ask(SELECT)
        time.sleep(0.1)
        return HttpResponse(str(thread.submit(context.run, ask, SELECT).result()))


def see_what_is_left(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(ask(LEFT[request.GET["what"]][1])))


def see_and_leave(request: HttpRequest) -> HttpResponse:
    """Answer with what is left of an earlier request, and leave the same."""
    leave, see = LEFT[request.GET["what"]]
    seen = ask(see)
    ask(leave)
    time.sleep(float(request.GET.get("seconds", 0)))
    return HttpResponse(str(seen))


async def transaction_left_in_thread(request: HttpRequest) -> HttpResponse:
    """Leave a transaction open in a thread that goes on."""

    def begin() -> None:
        transaction.atomic().__enter__()
        Item.objects.create(name="never committed")

    await asyncio.to_thread(begin)
    return HttpResponse("left")


def wait_before_asking(request: HttpRequest) -> HttpResponse:
    """Wait for something slow, and ask after that."""
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse(str(ask(SELECT)))


def wait_without_asking(request: HttpRequest) -> HttpResponse:
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse("waited")


def wait_between(request: HttpRequest) -> HttpResponse:
    """Three queries of a millisecond, with something slow between them."""
    for pause in (0, 1, 1):
        time.sleep(pause * float(request.GET.get("seconds", 0.1)))
        ask("SELECT SLEEP(0.001)")
    return HttpResponse("three")


_tasks: set[asyncio.Task[Any]] = set()


async def not_awaited(request: HttpRequest) -> HttpResponse:
    """Start a query and answer without it."""
    sql = f"SELECT SLEEP({float(request.GET.get('seconds', 2))})"
    ask_in: Callable[..., Any] = (
        sync_to_async(ask)
        if "own" in request.GET
        else sync_to_async(ask, thread_sensitive=False)
    )
    task = asyncio.create_task(_quietly(ask_in(sql)))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    await asyncio.sleep(0.05)
    if "dirty" in request.GET:
        await asyncio.to_thread(ask, "SET @mine = 'mine'")
    return HttpResponse("not awaited")


async def _quietly(awaitable: Any) -> None:
    with contextlib.suppress(Exception):
        await awaitable


async def awaited(request: HttpRequest) -> HttpResponse:
    """Await a query, for long enough that the client can hang up."""
    await asyncio.to_thread(ask, "SELECT SLEEP(0.5)")
    return HttpResponse("awaited")


def autonomous(request: HttpRequest) -> HttpResponse:
    """Write a log entry in a transaction of its own, in the middle of another one."""
    with transaction.atomic():
        ask("SELECT 1")
        second = connections.create_connection("default")
        try:
            with second.cursor() as cursor:
                cursor.execute(SELECT)
                mine = cursor.fetchone()[0]
        finally:
            second.close()
    return HttpResponse(str(mine != ask(SELECT)))


def ask_twice(request: HttpRequest) -> HttpResponse:
    """Ask what the statement before has left, after a pause."""
    Item.objects.create(name=str(uuid.uuid4()))
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse(str(ask(request.GET["sql"])))


def pause_with_cursor(request: HttpRequest) -> HttpResponse:
    """Keep a cursor open while waiting for something slow, and go on with it."""
    with connection.cursor() as cursor:
        cursor.execute(SELECT)
        (before,) = cursor.fetchone()
        time.sleep(float(request.GET["seconds"]))
        cursor.execute(SELECT)
        return HttpResponse(str(cursor.fetchone() == (before,)))


def pause_in(request: HttpRequest) -> HttpResponse:
    """Pause with something that only this connection has."""
    what = request.GET["what"]
    if what == "variable":
        ask("SET @mine = 'mine'")
        time.sleep(float(request.GET["seconds"]))
        return HttpResponse(str(ask("SELECT @mine")))
    with transaction.atomic():
        Item.objects.create(name="not committed")
        time.sleep(float(request.GET["seconds"]))
        found = Item.objects.filter(name="not committed").count()
        transaction.set_rollback(True)
    return HttpResponse(str(found))


# Code around the views, switched on by the environment of the site.


def _on_signal(
    environ: dict[str, Any] | None = None,
    scope: dict[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    path = scope["path"] if environ is None and scope else (environ or {})["PATH_INFO"]
    if not path.startswith("/exempt/"):
        ask(SELECT)


def _write_on_signal(**kwargs: Any) -> None:
    Item.objects.create(name=str(uuid.uuid4()))


def _change_on_signal(**kwargs: Any) -> None:
    ask("SET @left = 1")
    if "raises" in os.environ["TEST_RECEIVERS"]:
        raise ValueError


def connect_receivers() -> None:
    wanted = os.environ.get("TEST_RECEIVERS", "")
    if "started" in wanted:
        request_started.connect(_on_signal, dispatch_uid="started")
    if "finished" in wanted:
        request_finished.connect(_write_on_signal, dispatch_uid="finished")
    if "changes" in wanted:
        request_finished.connect(_change_on_signal, dispatch_uid="changes")


def asks(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A middleware that asks the database, wherever it stands."""

    def middleware(request: HttpRequest) -> Any:
        if not request.path.startswith("/exempt/"):
            ask(SELECT)
        return get_response(request)

    return middleware
