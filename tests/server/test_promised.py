"""Promises that only an unusual moment puts to the test."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import MySQLdb
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

import pooled_db
from pooled_db import PoolTimeout, pools
from pooled_db.driver import reset
from pooled_db.driver.connection import Connection
from pooled_db.pool.permit import Permit
from pooled_db.pool.pool import Pool
from pooled_db.request.current import open_scope
from tests.harness.processes import PATIENCE, poll
from tests.harness.server import Server
from tests.loans import lend
from tests.site.views import ask, nothing

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.urls(__name__),
]

MakePool = Callable[..., Pool]
NUMBER = "SELECT CONNECTION_ID()"
POOLED = "pooled_db.middleware.PooledConnectionMiddleware"


def stream(request: HttpRequest) -> StreamingHttpResponse:
    first = ask(NUMBER)

    def body() -> Iterator[str]:
        yield f"{first}"
        for _ in range(2):
            yield f",{ask(NUMBER)}"

    return StreamingHttpResponse(body())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    first = await sync_to_async(ask)(NUMBER)

    async def body() -> AsyncIterator[str]:
        yield f"{first}"
        for _ in range(2):
            yield f",{await sync_to_async(ask)(NUMBER)}"

    return StreamingHttpResponse(body())


def leave_variable(request: HttpRequest) -> HttpResponse:
    ask("SET @mine = 'mine'")
    return HttpResponse("left")


urlpatterns = [
    path("nothing", nothing),
    path("stream", stream),
    path("stream-async", stream_async),
    path("leave-variable", leave_variable),
]


@pytest.fixture(autouse=True)
def _nothing_open() -> Iterator[None]:
    connections.close_all()
    yield
    connections.close_all()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    pool = pools.for_alias("default")
    monkeypatch.setattr(pool, "timeout", 0.01)
    return pool


# Streams.


@pytest.mark.usefixtures("like_a_server")
def test_a_stream_goes_on_with_the_connection_of_its_view() -> None:
    before = pools.for_alias("default").stats().checkouts
    response = Client().get("/stream")
    assert pooled_db.stats()["default"].in_use == 1
    numbers = response.getvalue().decode().split(",")
    assert len(set(numbers)) == 1
    response.close()
    stats = pooled_db.stats()["default"]
    assert (stats.in_use, stats.checkouts) == (0, before + 1)


@pytest.mark.usefixtures("like_a_server")
def test_so_does_an_asynchronous_one() -> None:
    async def scenario() -> list[str]:
        response: Any = await AsyncClient().get("/stream-async")
        assert pooled_db.stats()["default"].in_use == 1
        body = b"".join([part async for part in response])
        assert pooled_db.stats()["default"].in_use == 0
        return body.decode().split(",")

    before = pools.for_alias("default").stats().checkouts
    assert len(set(async_to_sync(scenario)())) == 1
    assert pooled_db.stats()["default"].checkouts == before + 1


# What a middleware above has asked.


@pytest.mark.usefixtures("like_a_server")
def test_what_was_taken_before_the_middleware_is_of_the_request(settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.server.test_promised.ask_both", POOLED]
    before = {alias: pools.for_alias(alias).stats().checkouts for alias in connections}

    numbers = Client().get("/stream").getvalue().decode().split(",")
    assert len(set(numbers)) == 1
    for alias in ("default", "other"):
        stats = pools.for_alias(alias).stats()
        assert (stats.in_use, stats.checkouts) == (0, before[alias] + 1)


# Refusals.


@pytest.mark.usefixtures("like_a_server")
@pytest.mark.parametrize("checkout", ["request", "query"])
@pytest.mark.parametrize(("method", "retry"), [("get", True), ("post", False)])
def test_a_request_that_has_asked_already_may_be_repeated_only_if_it_is_safe(
    settings: Any, method: str, retry: bool, checkout: str, other_full: None
) -> None:
    settings.POOLED_DB = {"CHECKOUT": checkout}
    settings.MIDDLEWARE = [POOLED, "tests.server.test_promised.ask_both"]
    client = Client(headers={"accept": "application/json"})
    client.raise_request_exception = False
    response = getattr(client, method)("/nothing")
    assert response.status_code == 503
    assert json.loads(response.content)["reason"] == "timeout"
    assert response.has_header("Retry-After") is retry


def ask_both(get_response: Callable[..., Any]) -> Callable[..., Any]:
    def middleware(request: HttpRequest) -> Any:
        ask("SELECT 1")
        ask("SELECT 1", using="other")
        return get_response(request)

    return middleware


@pytest.fixture
def other_full(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    other = pools.for_alias("other")
    monkeypatch.setattr(other, "timeout", 0.01)
    permits = [Permit() for _ in range(other.gate.capacity)]
    for permit in permits:
        other.gate.acquire(permit, 1.0)
    yield
    for permit in permits:
        other.gate.release(permit)


def test_refusals_are_counted(full_pool: Pool) -> None:
    for count in (1, 2):
        with pytest.raises(PoolTimeout):
            full_pool.checkout()
        assert full_pool.stats().refused == count
    full_pool.gate.release(full_pool.gate.held()[0])
    full_pool.checkout().checkin()
    assert full_pool.stats().refused == 2


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_request_of_the_test_client_does_not_queue(
    full_pool: Pool, kind: str
) -> None:
    response: Any
    if kind == "sync":
        response = Client().get("/nothing")
    else:

        async def get() -> Any:
            return await AsyncClient().get("/nothing")

        response = async_to_sync(get)()
    assert response.status_code == 200
    assert full_pool.stats().refused == 0


# Sessions.


def fail(*args: Any) -> bool:
    raise MySQLdb.OperationalError(1045, "Access denied")


@pytest.mark.parametrize("make_as_new", [fail, lambda *args: False])
def test_a_session_that_cannot_be_made_as_new_is_lent_to_nobody(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, make_as_new: Any
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    connection.query(b"SET @mine = 'mine'")
    monkeypatch.setattr(reset, "make_as_new", make_as_new)
    loan.checkin()
    assert not connection.open
    loan, another = lend(pool)
    assert another is not connection
    loan.checkin()


@pytest.mark.parametrize(
    "use",
    [
        lambda connection: connection.query(b"DO 1"),
        lambda connection: connection.send_query(b"DO 1"),
        lambda connection: connection.read_query_result(),
        lambda connection: connection.store_result(),
        lambda connection: connection.use_result(),
        lambda connection: connection.commit(),
        lambda connection: connection.rollback(),
        lambda connection: connection.autocommit(False),
        lambda connection: connection.ping(),
        lambda connection: connection.select_db("mysql"),
        lambda connection: connection.set_character_set("latin1"),
        lambda connection: connection.change_user("a", "b", "c"),
        lambda connection: connection.cursor().execute("DO 1"),
    ],
)
@pytest.mark.parametrize("lent_again", [False, True])
def test_whatever_outlives_its_loan_is_an_error(
    make_pool: MakePool, use: Callable[[Connection], object], lent_again: bool
) -> None:
    pool = make_pool(pool_size=1)

    def mine() -> Connection:
        loan, connection = lend(pool)
        loan.checkin()
        return connection

    with ThreadPoolExecutor(1) as threads:
        connection = threads.submit(mine).result()
        loan = pool.checkout() if lent_again else None
        with pytest.raises(MySQLdb.InterfaceError, match="given back"):
            threads.submit(use, connection).result()
        if loan is not None:
            assert loan.connection is connection
            connection.query(b"DO 1")
            loan.checkin()


@pytest.mark.usefixtures("like_a_server")
def test_no_session_is_made_as_new_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    make_as_new = reset.make_as_new

    def note(*args: Any) -> bool:
        threads.append(threading.get_ident())
        return make_as_new(*args)

    monkeypatch.setattr(reset, "make_as_new", note)

    async def scenario() -> None:
        await AsyncClient().get("/leave-variable")

    asyncio.run(scenario())
    assert threads
    assert threading.get_ident() not in threads


# Pools.


def test_close_pool_closes_the_connections(server: Server) -> None:
    number = ask(NUMBER)
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    assert poll(lambda: number not in {one["id"] for one in server.process_list()})
    assert "default" not in pooled_db.stats()


def test_two_threads_that_come_first_at_once_get_one_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pools.dispose("default")
    build = pools._build
    both = threading.Barrier(2)

    def build_together(wrapper: Any) -> Pool:
        built = build(wrapper)
        both.wait(PATIENCE)
        return built

    monkeypatch.setattr(pools, "_build", build_together)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(pools.for_alias, ["default", "default"])
    assert first is second is pools.for_alias("default")


# Threads.


def test_a_thread_that_waits_past_the_end_of_its_request_owns_what_it_gets(
    full_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_pool, "timeout", 10.0)
    context = contextvars.copy_context()
    scope = context.run(open_scope)
    asked, leave = threading.Event(), threading.Event()
    seen: list[Any] = []

    def work() -> None:
        seen.append(ask("SELECT 'mine'"))
        seen.append(connection.loan.requester)  # type: ignore[attr-defined]
        asked.set()
        leave.wait(PATIENCE)
        connection.close()

    with ThreadPoolExecutor(1) as threads:
        worker = threads.submit(context.run, work)
        assert poll(lambda: full_pool.gate.waiting == 1)
        scope.close()
        for permit in full_pool.gate.held():
            full_pool.gate.release(permit)
        assert asked.wait(PATIENCE)
        stats = full_pool.stats()
        assert (stats.in_use, stats.on_call) == (1, 1)
        leave.set()
        worker.result()
    assert seen == ["mine", None]


def test_a_connection_that_is_shared_stays_when_its_opener_ends() -> None:
    kept: list[Any] = []

    def share() -> None:
        kept.append(ask(NUMBER))
        connections["default"].inc_thread_sharing()
        kept.append(connections["default"])

    thread = threading.Thread(target=share)
    thread.start()
    thread.join()
    number, wrapper = kept
    try:
        assert pooled_db.stats()["default"].in_use == 1
        with wrapper.cursor() as cursor:
            cursor.execute(NUMBER)
            assert cursor.fetchone() == (number,)
    finally:
        wrapper.close()
        wrapper.dec_thread_sharing()


# Numbers that are documented.


def test_connections_are_replaced_after_90_to_100_percent_of_recycle(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(pool_size=1, recycle=1000.0)
    for drawn, age in ((0.0, 1000.0), (1.0, 900.0), (0.5, 950.0)):
        monkeypatch.setattr("random.random", lambda drawn=drawn: drawn)
        monkeypatch.setattr("time.monotonic", lambda: 5000.0)
        loan, connection = lend(pool)
        assert connection.expires == pytest.approx(5000.0 + age)
        loan.discard()
