"""Rows that are read while they are used, by server-side cursors and by hand."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import MySQLdb
import pytest
from MySQLdb.cursors import SSCursor

from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import ask, lend

MakePool = Callable[..., Pool]

#: The first row is larger than the server's buffer, so it arrives before the others.
SLOW_ROWS = """SELECT 1, REPEAT('x', 100000)
    UNION ALL SELECT GET_LOCK('the second row', 60), 'y'
    UNION ALL SELECT 3, 'z'"""


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def begin(pool: Pool, sql: str) -> tuple[Loan, Connection, SSCursor]:
    """Make a statement, of whose rows one is read."""
    loan, connection = lend(pool)
    cursor = connection.cursor(SSCursor)
    cursor.execute(sql)
    assert cursor.fetchone()
    return loan, connection, cursor


@contextlib.contextmanager
def reading(
    pool: Pool, server: Server, thread: ThreadPoolExecutor
) -> Iterator[tuple[Loan, Connection, SSCursor, Future[object]]]:
    """Let *thread* wait for a row until this ends."""
    with contextlib.closing(server.admin()) as admin:
        admin.query("DO GET_LOCK('the second row', 0)")
        loan, connection, cursor = thread.submit(begin, pool, SLOW_ROWS).result()
        row = thread.submit(cursor.fetchone)
        assert poll(lambda: connection.in_query)
        yield loan, connection, cursor, row


def test_a_connection_is_not_closed_while_rows_are_read(
    make_pool: MakePool, server: Server, thread: ThreadPoolExecutor
) -> None:
    """The driver cannot: one version says so, and an earlier one crashes."""
    pool = make_pool(pool_size=1)
    with reading(pool, server, thread) as (loan, connection, cursor, row):
        loan.checkin()
        assert (loan.has_ended, pool.gate.free, connection.open) == (False, 0, 1)

    assert row.result() == (1, "y")
    assert (loan.has_ended, pool.gate.free, connection.open) == (True, 1, 0)
    with pytest.raises(MySQLdb.InterfaceError, match="given back"):
        thread.submit(cursor.fetchone).result()
    thread.submit(cursor.close).result()


def test_a_connection_counts_as_at_work_until_its_rows_are_read(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection, cursor = begin(pool, "SELECT 1 UNION SELECT 2")
    assert loan.resting_since() is None
    assert cursor.fetchall() == ((2,),)
    cursor.close()
    loan.checkin()

    again, same = lend(pool)
    assert same is connection
    assert again.resting_since() is not None
    again.checkin()


def test_rows_that_nobody_has_read_are_left_to_nobody(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan, connection, cursor = begin(pool, "SELECT 1 UNION SELECT 2")
    loan.checkin()
    assert not connection.open
    cursor.close()

    loan, another = lend(pool)
    assert ask(another, "SELECT 3") == 3
    loan.checkin()


def test_rows_that_are_given_up_are_read_with_the_interpreter_let_go(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the driver reads them where it frees the result, and all threads wait."""
    pool = make_pool(pool_size=1)
    loan, connection, cursor = begin(pool, "SELECT 1 UNION SELECT 2")
    unbuffered: Any = vars(cursor)["_result"]
    result, read = unbuffered._result, []

    class Watched:
        def discard(self) -> None:
            read.append(connection._busy == threading.get_ident())
            result.discard()

    monkeypatch.setattr(unbuffered, "_result", Watched())
    cursor.close()
    loan.checkin()

    assert read == [True]


# The two halves of a statement.


@pytest.mark.parametrize("sql", ["SELECT 1", "DO 1"])
def test_an_answer_that_nobody_has_asked_for_is_left_to_nobody(
    make_pool: MakePool, sql: str
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    connection.send_query(sql)
    assert loan.resting_since() is None
    loan.checkin()

    assert not connection.open


@pytest.mark.parametrize("reset", ["dirty", "rollback"])
def test_a_statement_in_two_halves_leaves_its_connection_as_it_was(
    make_pool: MakePool, reset: str
) -> None:
    pool = make_pool(pool_size=1, reset=reset)
    loan, connection = lend(pool)
    connection.send_query(b"SELECT 7")
    connection.read_query_result()
    assert connection.store_result().fetch_row() == ((7,),)
    assert loan.resting_since() is not None
    connection.send_query(b"SELECT nonsense")
    with pytest.raises(MySQLdb.OperationalError):
        connection.read_query_result()
    assert loan.resting_since() is not None
    loan.checkin()

    loan, same = lend(pool)
    assert same is connection
    loan.checkin()
    assert pool.stats().resets == 0
