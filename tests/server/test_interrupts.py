"""An interrupt at whatever moment of a loan loses nothing, and leaks no transaction."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from pooled_db import pools
from pooled_db.backends.mysql.base import DatabaseWrapper
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.pool import Pool
from tests.database_server import SERVER
from tests.harness.interrupts import interrupt
from tests.harness.processes import poll
from tests.loans import lend
from tests.site.views import ask

# An interrupt in a finalizer is told and not raised, by Python itself.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

WITHIN = ("pooled_db", "sqlalchemy.pool", "sqlalchemy.util.queue")
MOST = 2_000

MakePool = Callable[..., Pool]


def moments() -> Iterator[int]:
    yield from range(1, MOST)
    pytest.fail("there was no last moment")


def assert_nothing_lost(pool: Pool) -> None:
    """Everybody who may have a connection gets one, without a transaction in it."""
    gc.collect()
    gate = pool.gate
    assert not gate.lock.locked()
    assert (gate.free, gate.waiting) == (gate.capacity, 0)
    # What the upkeep is just parking counts as checked out for a moment.
    assert poll(lambda: pool.checkedout() == 0), pool.checkedout()
    loans = [lend(pool) for _ in range(gate.capacity)]
    # No connection is open that nobody can have.
    assert pool.stats().idle == 0
    for _, lent in loans:
        with lent.cursor() as cursor:
            cursor.execute("SELECT @@autocommit, @mine")
            assert cursor.fetchone() == (1, None)
    # A server notices a moment later that a connection was closed.
    assert poll(lambda: SERVER.open_transactions() == 0)
    for loan, _ in loans:
        loan.checkin()
    assert gate.free == gate.capacity


@pytest.mark.parametrize("how", ["unchanged", "transaction", "variable"])
def test_an_interrupted_checkin_can_be_done_again(
    make_pool: MakePool, how: str
) -> None:
    pool = make_pool(pool_size=2)
    loan, lent = lend(pool)
    lent.query("CREATE TABLE IF NOT EXISTS interrupted (n INT) ENGINE=InnoDB")
    lent.store_result()
    loan.checkin()
    for moment in moments():
        loan, lent = lend(pool)
        if how == "transaction":
            lent.autocommit(False)
            lent.query("SELECT * FROM interrupted FOR UPDATE")
            lent.store_result()
        elif how == "variable":
            lent.query("SET @mine = 1")
            lent.store_result()
        was_there = interrupt(loan.checkin, moment, *WITHIN)
        loan.checkin()
        assert_nothing_lost(pool)
        if not was_there:
            break


def test_an_interrupted_checkout_loses_nothing(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=2)
    for moment in moments():
        was_there = interrupt(lambda: pool.checkout().checkin(), moment, *WITHIN)
        for loan in pool.lent():  # which the interrupt has kept from its caller
            loan.checkin()
        assert_nothing_lost(pool)
        if not was_there:
            break


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "action",
    [
        lambda: connection.ensure_connection(),
        lambda: connection.set_autocommit(False),
    ],
    ids=["connect", "autocommit"],
)
def test_an_interrupt_leaves_a_connection_that_others_may_have(
    action: Callable[[], None],
) -> None:
    for moment in moments():
        ask("SELECT 1")  # so that there is one to be lent, whatever came before
        connection.close()
        was_there = interrupt(action, moment, "pooled_db")
        loan = connections["default"].loan  # type: ignore[attr-defined]
        assert loan is None or not loan.pins
        connection.close()
        assert pools.for_alias("default").lent() == []
        if not was_there:
            break


@pytest.mark.django_db(transaction=True)
def test_an_interrupt_leaves_no_other_connection_pinned_than_was_called_back() -> None:
    wrapper = cast("DatabaseWrapper", connections["default"])
    for moment in moments():
        connection.close()  # whose session pytest-django may have changed
        ask("SELECT 1")
        loan = wrapper.loan
        assert loan is not None
        with loan.pool.gate.lock:
            assert loan.call_back()
        loan.checkin()
        was_there = interrupt(wrapper.create_cursor, moment, "pooled_db")
        assert wrapper.loan is None or not wrapper.loan.pins
        connection.close()
        assert pools.for_alias("default").lent() == []
        if not was_there:
            break


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["nothing", "query", "transaction"])
def test_an_interrupted_request_loses_nothing(rf: RequestFactory, how: str) -> None:
    """The thread goes on to the next request, as a server's would."""

    def view(request: HttpRequest) -> HttpResponse:
        if how == "query":
            ask("SELECT 1")
        elif how == "transaction":
            transaction.atomic().__enter__()
            ask("SET @mine = 1")
        return HttpResponse("done")

    middleware = PooledConnectionMiddleware(view)
    connections.close_all()
    pool = pools.for_alias("default")
    for moment in moments():
        was_there = interrupt(lambda: middleware(rf.get("/")), moment, "pooled_db")
        middleware(rf.get("/"))
        assert not connection.in_atomic_block
        connection.close()
        assert_nothing_lost(pool)
        if not was_there:
            break


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["nothing", "variable"])
def test_an_interrupted_request_of_an_event_loop_loses_nothing(
    rf: RequestFactory, how: str
) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        if how == "variable":
            await sync_to_async(ask)("SET @mine = 1")
        return HttpResponse("done")

    middleware = PooledConnectionMiddleware(view)
    connections.close_all()
    pool = pools.for_alias("default")
    with contextlib.closing(asyncio.new_event_loop()) as loop:

        def serve() -> None:
            loop.run_until_complete(middleware(rf.get("/")))

        for moment in moments():
            was_there = interrupt(serve, moment, "pooled_db")
            serve()
            # A session that was changed is made as new in a thread.
            assert poll(lambda: pool.gate.free == pool.gate.capacity)
            assert_nothing_lost(pool)
            if not was_there:
                break
