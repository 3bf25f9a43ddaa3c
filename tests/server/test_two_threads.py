"""A pool and its loans, of which two threads want something at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import DriverConnection
from pooled_db.driver.connection import Connection
from pooled_db.driver.use import NO_THREAD
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import State
from pooled_db.pool.pool import Pool
from pooled_db.pool.turn import Turn
from tests.gates import LONG, PATIENCE, start
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import ask, connection_of, lend

MakePool = Callable[..., Pool]

#: As the pool knows threads, by their numbers.
NOT_THIS_THREAD = -1


def wait_for_lock(connection: Connection) -> None:
    connection.query("SELECT GET_LOCK('until it may come out', 60)")
    connection.store_result()


def test_a_connection_in_the_middle_of_a_statement_is_closed_when_it_comes_out(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    thread_id = connection.thread_id()
    loan.share()

    with ThreadPoolExecutor(1) as threads, server.admin() as admin:
        admin.query("DO GET_LOCK('until it may come out', 0)")
        statement = threads.submit(wait_for_lock, connection)
        assert poll(lambda: connection.in_query)
        loan.checkin()
        assert (loan.has_ended, pool.gate.free) == (False, 0)
        admin.query("DO RELEASE_ALL_LOCKS()")
        statement.result()

    assert (loan.has_ended, pool.gate.free) == (True, 1)
    again = pool.checkout()
    assert connection_of(again).thread_id() != thread_id
    again.checkin()


def test_a_connection_is_not_closed_while_rows_are_stored(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    loan.share()
    is_asked = threading.Event()

    def read() -> None:
        # The first row is larger than the server's buffer, so the second is late.
        connection.query(
            "SELECT REPEAT('x', 100000) UNION ALL SELECT GET_LOCK('second', 60)"
        )
        is_asked.set()
        connection.store_result()

    with ThreadPoolExecutor(1) as threads, server.admin() as admin:
        admin.query("DO GET_LOCK('second', 0)")
        statement = threads.submit(read)
        assert is_asked.wait(PATIENCE)
        assert poll(lambda: connection.in_query)
        loan.checkin()
        assert (loan.has_ended, connection.open, pool.gate.free) == (False, 1, 0)
        admin.query("DO RELEASE_ALL_LOCKS()")
        statement.result()

    assert (loan.has_ended, connection.open, pool.gate.free) == (True, 0, 1)


def test_a_connection_that_was_closed_is_lent_to_no_other_thread(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    loan.unpin(threading.get_ident())
    connection.close()
    assert not loan.lend(lambda: None, NOT_THIS_THREAD)
    loan.checkin()


def test_a_loan_that_ends_just_as_it_is_lent_has_ended(make_pool: MakePool) -> None:
    """Whoever ends it does not wait for the lock, which the other holds."""
    pool = make_pool(pool_size=1)
    loan = Loan(pool)
    pool.take(pool.admit(loan))

    class EndsIt(deque[Turn]):
        def __bool__(self) -> bool:
            if not loan.over:
                loan.checkin()
            return False

    loan.line = EndsIt()  # looked at between the state of before and that of after

    assert not loan.lend(lambda: None, threading.get_ident())
    assert (loan.has_ended, loan.user, loan.borrower) == (True, NO_THREAD, None)
    assert pool.gate.free == 1


class LockWithCompany:
    """A lock that others find taken once, right after it was."""

    def __init__(self, lock: threading.Lock, they_do: Callable[[], object]) -> None:
        self.acquire, self.release, self.locked = (
            lock.acquire,
            lock.release,
            lock.locked,
        )
        self._they_do: Callable[[], object] | None = they_do

    def __enter__(self) -> None:
        self.acquire()
        they_do, self._they_do = self._they_do, None
        if they_do is not None:
            they_do()

    def __exit__(self, *_: object) -> None:
        self.release()


def test_what_is_given_back_while_another_takes_goes_to_the_next(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=2)
    out, taking, waiting = pool.checkout(), pool.admit(Loan(pool)), Loan(pool)
    assert not pool.gate.enter(waiting, LONG)
    lock: Any = LockWithCompany(pool.gate.lock, out.checkin)
    pool.gate.lock = lock

    pool.take(taking)

    assert waiting.state is State.ADMITTED
    for loan in (taking, waiting):
        loan.checkin()


def test_who_is_interrupted_changes_nothing_for_the_thread_that_is_taking(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(pool_size=1)
    loan = pool.admit(Loan(pool))
    loan.state = State.TAKING  # as the other thread has it

    class Interrupting:
        def __enter__(self) -> None:
            raise KeyboardInterrupt

        def __exit__(self, *_: object) -> None: ...

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pool.gate, "lock", Interrupting())
        pool.take(loan)

    assert loan.state is State.TAKING
    loan.state = State.ADMITTED
    loan.checkin()


@pytest.mark.parametrize("what", ["makes_room", "met_no_room"])
def test_a_finalizer_may_end_a_loan_in_the_thread_that_has_the_lock(
    make_pool: MakePool, what: str
) -> None:
    """Even one whose connection tells how many there may be."""
    pool = make_pool(pool_size=2)
    loan, connection = lend(pool)
    connection.is_doubtful = True
    setattr(connection, what, True)

    def collect() -> None:
        with pool.gate.lock:
            loan.discard()
        pool.gate.settle()

    start(collect).result(PATIENCE)
    assert (loan.has_ended, connection.open, pool.gate.free) == (True, 0, 2)


def test_a_thread_that_is_done_leaves_the_connection_to_one_with_a_cursor(
    make_pool: MakePool,
) -> None:
    """What that one does then is cleaned all the same, and its own cursor is void."""
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    mine = connection.cursor()
    mine.execute("SELECT 1")

    def borrower() -> None: ...

    def begin() -> Any:
        assert loan.lend(borrower, threading.get_ident())
        loan.unpin(threading.get_ident())
        cursor = connection.cursor()
        cursor.execute("SELECT 2")
        return cursor

    assert not loan.leave()  # to whom?
    with ThreadPoolExecutor(1) as other:
        other.submit(other.submit(begin).result().close).result()
        assert not loan.leave()  # nobody would go on with it
        theirs = other.submit(begin).result()
        assert loan.leave()
        assert (loan.over, loan.borrower) == (False, None)
        with pytest.raises(MySQLdb.InterfaceError, match="given back"):
            mine.execute("SELECT 1")
        other.submit(theirs.execute, "SET @mine = 1").result()
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT @mine") is None
    loan.checkin()


def test_of_two_threads_one_closes_what_an_interrupt_may_have_cut_off(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one closes it, the other has just got it from the queue."""
    pool = make_pool(pool_size=2)
    loan, connection = lend(pool)
    loan.checkin()
    queue = pool._store.queue
    closes, goes_on = threading.Event(), threading.Event()
    closed: list[DriverConnection] = []
    close: Callable[..., None] = DriverConnection.close

    def close_slowly(it: DriverConnection) -> None:
        closed.append(it)
        closes.set()
        assert goes_on.wait(PATIENCE)
        close(it)

    def interrupted_elsewhere() -> bool:
        """QueuePool asks for this before anybody can see that it is in use."""
        others.append(start(lambda: pool._store.renew(queue)))
        assert closes.wait(PATIENCE)
        return False

    others: list[Future[None]] = []
    monkeypatch.setattr(DriverConnection, "close", close_slowly)
    monkeypatch.setattr(queue, "_should_log_debug", interrupted_elsewhere)
    try:
        loan, another = lend(pool)
        assert another is not connection
        assert closed == [connection]
    finally:
        goes_on.set()
        for other in others:
            other.result(PATIENCE)
    assert ask(another, "SELECT 1") == 1
    loan.checkin()
    assert pool.gate.free == 2
    assert pool.stats().idle == 0  # its queue has been replaced


def test_a_connection_in_the_middle_of_a_commit_is_closed_when_it_comes_out(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    ask(connection, "CREATE TABLE IF NOT EXISTS committed (n INT) ENGINE=InnoDB")
    connection.autocommit(False)
    ask(connection, "INSERT INTO committed VALUES (1)")
    loan.share()

    with ThreadPoolExecutor(1) as threads, server.admin() as admin:
        admin.query("FLUSH TABLES WITH READ LOCK")  # which makes a commit wait
        commit = threads.submit(connection.commit)
        assert poll(lambda: connection.in_query)
        loan.checkin()
        assert (loan.has_ended, pool.gate.free) == (False, 0)
        admin.query("UNLOCK TABLES")
        commit.result()

    assert (loan.has_ended, pool.gate.free) == (True, 1)
    assert pool.stats().idle == 0
