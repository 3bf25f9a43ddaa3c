"""A statement that an exception has cut poisons nobody's connection."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

import MySQLdb
import pytest
from django.db import ProgrammingError, connection, connections, transaction
from MySQLdb.cursors import SSCursor

from pooled_db import pools
from pooled_db.driver import DriverConnection
from pooled_db.driver.connection import Connection
from tests.harness.interrupts import Interrupted, interrupt
from tests.loans import lend
from tests.site.views import ask

pytestmark = pytest.mark.django_db(transaction=True)

SMALL = "SELECT SLEEP(0.2)"
LARGE = "SELECT SLEEP(0.2), REPEAT('x', 4000000)"
#: The default pool has 4 connections, which are lent in turn.
LATER = 40


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    connections.close_all()
    yield
    connections.close_all()


def by_signal(sql: str) -> None:
    def strike(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(Interrupted):
            ask(sql)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def by_exception_from_another_thread(sql: str) -> None:
    """As Celery's and dramatiq's time limits do in threads."""
    thread = ctypes.c_ulong(threading.get_ident())
    strike = threading.Timer(
        0.1,
        lambda: ctypes.pythonapi.PyThreadState_SetAsyncExc(
            thread, ctypes.py_object(Interrupted)
        ),
    )
    strike.start()
    try:
        with pytest.raises(Interrupted):
            ask(sql)
    finally:
        strike.join()


@pytest.mark.parametrize("strike", [by_signal, by_exception_from_another_thread])
@pytest.mark.parametrize("sql", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("closes", [False, True])
def test_all_later_queries_succeed(
    strike: Callable[[str], None], sql: str, atomic: bool, closes: bool
) -> None:
    if atomic:
        with contextlib.suppress(Interrupted), transaction.atomic():
            strike(sql)
            raise Interrupted
    else:
        strike(sql)
    if closes:
        connection.close()
    for number in range(LATER):
        assert ask("SELECT %s", number) == number
        connection.close()


def read(connection: Connection, sql: bytes) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def in_two_halves(connection: Connection) -> None:
    connection.send_query(b"SELECT 2")
    connection.read_query_result()
    connection.store_result().fetch_row()


def row_by_row(connection: Connection) -> None:
    cursor = connection.cursor(SSCursor)
    cursor.execute("SELECT 2 UNION SELECT 4")
    cursor.fetchone()
    cursor.close()


#: Whatever the driver has to speak with the server, besides a cursor's statement.
OTHERS: dict[str, Callable[[Connection], object]] = {
    "in two halves": in_two_halves,
    "row by row": row_by_row,
    "several": lambda connection: read(connection, b"SELECT 2; SELECT 4"),
    "dirty": lambda connection: read(connection, b"SELECT @a := 2"),
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "ping": lambda connection: connection.ping(),
    "select_db": lambda connection: connection.select_db("information_schema"),
    "character set": lambda connection: connection.set_character_set("latin1"),
    "autocommit": lambda connection: connection.autocommit(False),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_at_whatever_moment_the_driver_is_cut(kind: str) -> None:
    pool = pools.for_alias("default")
    loan, lent = lend(pool)
    fresh = b"SELECT 3, @a, DATABASE(), @@autocommit, @@character_set_client"
    expected = read(lent, fresh)
    loan.checkin()
    for moment in range(1, 1000):
        loan, lent = lend(pool)
        cut = partial(OTHERS[kind], lent)
        was_there = interrupt(cut, moment, "MySQLdb", "pooled_db.driver")
        loan.checkin()
        assert pool.gate.free == pool.gate.capacity
        loan, lent = lend(pool)
        assert read(lent, fresh) == expected
        loan.checkin()
        if not was_there:
            break
    assert 3 < moment < 999


#: What fails here, and what leads there.
STEPS: dict[str, Callable[[Connection], object]] = {
    "query": lambda connection: connection.query(b"SELECT 2"),
    "store_result": lambda connection: read(connection, b"SELECT 2"),
    "use_result": row_by_row,
    "next_result": lambda connection: read(connection, b"SELECT @a := 2"),
    "send_query": in_two_halves,
    "read_query_result": in_two_halves,
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "autocommit": lambda connection: connection.autocommit(False),
    "ping": lambda connection: connection.ping(),
    "select_db": lambda connection: connection.select_db("mysql"),
    "set_character_set": lambda connection: connection.set_character_set("latin1"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "error", [MySQLdb.OperationalError(2013, "Lost connection"), Interrupted()]
)
def test_whatever_fails_in_the_driver_is_not_lent_again(
    monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    pool = pools.for_alias("default")
    loan, lent = lend(pool)

    def fail(*args: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(DriverConnection, step, fail)
        with pytest.raises(type(error)):
            STEPS[step](lent)
    closed_for = "dead" if isinstance(error, MySQLdb.Error) else None
    assert (lent.is_doubtful, lent.closed_for) == (True, closed_for)
    loan.checkin()
    assert not lent.open


@pytest.mark.parametrize("modules", [("MySQLdb",), ("pooled_db.driver",)])
def test_at_whatever_moment_a_statement_is_cut(modules: tuple[str, ...]) -> None:
    pool = pools.for_alias("default")
    for moment in range(1, 1000):
        loan, lent = lend(pool)
        read(lent, b"SELECT 1")
        cut = partial(read, lent, b"SELECT 2")
        was_there = interrupt(cut, moment, *modules)
        loan.checkin()
        assert pool.gate.free == pool.gate.capacity
        loan, lent = lend(pool)
        assert read(lent, b"SELECT 3") == ((3,),)
        loan.checkin()
        if not was_there:
            break
    assert 5 < moment < 999


def test_in_a_transaction_the_next_result_is_an_error_and_not_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_all = DriverConnection.store_result

    def interrupted(self: Connection) -> object:
        read_all(self)  # type: ignore[no-untyped-call]
        raise Interrupted

    connection.set_autocommit(False)
    with monkeypatch.context() as patch:
        patch.setattr(DriverConnection, "store_result", interrupted)
        with pytest.raises(Interrupted):
            ask("SELECT 1")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 2; SELECT 4")
        assert cursor.fetchall() == ((2,),)
        with pytest.raises(ProgrammingError, match="out of sync"):
            cursor.nextset()
    connection.close()
