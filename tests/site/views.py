"""Views that do one thing to their connection each."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections, transaction
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template import engines
from django.template.response import TemplateResponse

import pooled_db
from pooled_db import pools

from .models import Item


def ask(sql: str, *parameters: str | float, using: str = "default") -> object:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing")


@transaction.non_atomic_requests
def state(request: HttpRequest) -> JsonResponse:
    """Every pool's numbers; it needs no database itself."""
    return JsonResponse(
        {
            alias: {
                **dataclasses.asdict(stats),
                "free": pools.for_alias(alias).gate.free,
            }
            for alias, stats in pooled_db.stats().items()
        }
    )


def queries(request: HttpRequest) -> HttpResponse:
    for _ in range(int(request.GET.get("n", 1))):
        answer = ask("SELECT CONNECTION_ID()")
    return HttpResponse(str(answer))


async def queries_async(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(queries)(request)


def sleep(request: HttpRequest) -> HttpResponse:
    ask("SELECT SLEEP(%s)", float(request.GET.get("seconds", 0.05)))
    return HttpResponse("slept")


def token(request: HttpRequest) -> HttpResponse:
    """Let the database say the request's token, in some statements or in one."""
    wanted = request.GET["token"]
    answers = set()
    for number in range(int(request.GET.get("n", 2))):
        answer = ask(
            "SELECT CONCAT(%s, LEFT(SLEEP(%s), 0))",
            f"{wanted} {number}",
            float(request.GET.get("seconds", 0.002)),
        )
        answers.add(str(answer).removesuffix(f" {number}"))
    return HttpResponse(" and ".join(answers))


def store(request: HttpRequest) -> HttpResponse:
    """Store an item; its name is committed, or nothing is."""
    with transaction.atomic():
        Item.objects.create(name=request.GET["token"])
        ask("SELECT SLEEP(%s)", float(request.GET.get("seconds", 0)))
    return HttpResponse(request.GET["token"])


async def sleep_async(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(sleep)(request)


async def item_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await Item.objects.acount()))


def take_turn(request: HttpRequest) -> HttpResponse:
    """Wait with a connection until a test lets go of the lock."""
    ask("SELECT GET_LOCK('turn', 60)")
    ask("DO RELEASE_LOCK('turn')")
    return HttpResponse("had its turn")


def fail_after_query(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    raise ValueError("the view's own mistake")


def leave_atomic(request: HttpRequest) -> HttpResponse:
    transaction.atomic().__enter__()
    Item.objects.create(name="left open")
    return HttpResponse("left")


def autocommit_off(request: HttpRequest) -> HttpResponse:
    transaction.set_autocommit(False)
    Item.objects.create(name="not committed")
    return HttpResponse("off")


def close(request: HttpRequest) -> HttpResponse:
    first = ask("SELECT 1")
    connection.close()
    return HttpResponse(f"{first} {ask('SELECT 2')}")


def close_all(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    connections.close_all()
    return HttpResponse("closed")


def release(request: HttpRequest) -> JsonResponse:
    ask("SELECT 1")
    pooled_db.release()
    in_use = pooled_db.stats()["default"].in_use
    ask("SELECT 1")
    return JsonResponse(
        {"released": in_use, "again": pooled_db.stats()["default"].in_use}
    )


async def release_async(request: HttpRequest) -> JsonResponse:
    await sync_to_async(ask)("SELECT 1")
    await pooled_db.arelease()
    in_use = pooled_db.stats()["default"].in_use
    await sync_to_async(ask)("SELECT 1")
    return JsonResponse(
        {"released": in_use, "again": pooled_db.stats()["default"].in_use}
    )


def release_in_atomic(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        pooled_db.release()
    return HttpResponse("unreachable")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    ask("SELECT 1")

    def body() -> Iterator[str]:
        for number in range(3):
            yield f"{ask('SELECT %s', number)}\n"

    return StreamingHttpResponse(body())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    await sync_to_async(ask)("SELECT 1")

    async def body() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{await sync_to_async(ask)('SELECT %s', number)}\n"

    return StreamingHttpResponse(body())


def stream_unused(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter(["a", "b"]))


def file(request: HttpRequest) -> FileResponse:
    ask("SELECT 1")
    return FileResponse(open(__file__, "rb"))


def in_template(request: HttpRequest) -> TemplateResponse:
    template = engines["django"].from_string("{{ query }}")
    return TemplateResponse(request, template, {"query": lambda: ask("SELECT 7")})


def kill_self(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        ask("SELECT 1")
    with contextlib.suppress(OperationalError):
        ask("KILL CONNECTION_ID()")  # MySQL calls it interrupted, and then closes
    ask("SELECT 2")
    return HttpResponse("unreachable")


def session(request: HttpRequest) -> HttpResponse:
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HttpResponse(str(request.session["seen"]))


def wrong_sql(request: HttpRequest) -> HttpResponse:
    ask("SELECT nonsense FROM nowhere")
    return HttpResponse("unreachable")


def database_name(request: HttpRequest) -> HttpResponse:
    using = request.GET.get("using", "default")
    return HttpResponse(str(ask("SELECT DATABASE()", using=using)))


def echo(request: HttpRequest) -> HttpResponse:
    """Answer with the client's own token, by way of the server."""
    ask("SELECT SLEEP(%s)", float(request.GET.get("seconds", 0)))
    return HttpResponse(str(ask("SELECT %s", request.GET["token"])))


async def echo_async(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(echo)(request)


def echo_in_atomic(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        Item.objects.create(name=request.GET["token"])
        return echo(request)
