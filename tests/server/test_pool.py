"""One database's pool, on the real server and without Django."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import MySQLdb
import pytest
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import CLOSED
from pooled_db.pool.pool import Pool, outsiders
from pooled_db.pool.store import NoIdleConnection
from tests.conftest import connector
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import ask, connection_of, lend

MakePool = Callable[..., Pool]


def test_a_full_pool_refuses_at_the_deadline_then_lends_again(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1, timeout=0.02)
    loan = pool.checkout()
    thread_id = connection_of(loan).thread_id()

    with pytest.raises(PoolTimeout, match="1 of 1 in use") as refusal:
        pool.checkout()
    loan.checkin()

    assert isinstance(refusal.value, SQLAlchemyTimeoutError)
    again = pool.checkout()
    assert connection_of(again).thread_id() == thread_id
    again.checkin()
    assert repr(pool) == "<Pool 'bare': 0 in use, 1 idle, 0 waiting, limit 1>"


class InterruptedFunction:
    """A function that an interrupt keeps from being called, *once* or each time."""

    def __init__(self, function: Callable[..., Any], *, once: bool = False) -> None:
        self._function = function
        self._once = once
        self._is_over = False

    def __call__(self, *args: Any) -> Any:
        if not self._is_over:
            self._is_over = self._once
            raise KeyboardInterrupt
        return self._function(*args)


@pytest.mark.parametrize("is_back", [False, True])
def test_what_an_interrupt_meets_while_it_is_given_back_is_closed_and_makes_room(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    """Be it in its queue already or not."""
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    release = InterruptedFunction(pool.gate.release, once=True)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if is_back:
            patched.setattr(pool.gate, "release", release)
        else:
            cleans = InterruptedFunction(pool._cleaning.cleans)
            patched.setattr(pool._cleaning, "cleans", cleans)
        loan.checkin()

    assert loan.state is CLOSED
    assert loan not in outsiders
    assert not connection.open
    assert (pool.gate.free, pool.checkedout()) == (1, 0)
    again, another = lend(pool)
    assert another is not connection
    assert pool.stats().closed["doubtful"] == 1
    again.checkin()


def test_an_interrupt_while_nothing_but_a_permit_is_given_back_is_raised(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(pool_size=1)
    loan = Loan(pool)
    pool.admit(loan)
    release = InterruptedFunction(pool.gate.release, once=True)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(pool.gate, "release", release)
        loan.checkin()
    assert pool.gate.free == 1


def test_never_more_connections_than_pool_size_and_overflow(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=2, max_overflow=1, timeout=30)
    most = 0
    lock = threading.Lock()
    out = 0

    def work(_: int) -> None:
        nonlocal most, out
        loan = pool.checkout()
        with lock:
            out += 1
            most = max(most, out)
        assert ask(connection_of(loan), "SELECT 1") == 1
        with lock:
            out -= 1
        loan.checkin()

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(300)))

    assert most <= 3
    assert pool.stats().idle <= 2
    assert pool.stats().checkouts == 300


def test_a_lease_goes_back_once_however_often_it_is_given_back(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=2)
    loan = pool.checkout()
    loan.checkin()
    loan.checkin()
    loan.discard()

    assert pool.gate.free == 2
    first, second = pool.checkout(), pool.checkout()
    assert first.connection is not second.connection
    loan.checkin()  # the connection is somebody else's now
    assert first.is_out
    assert second.is_out
    first.checkin()
    second.checkin()


def test_an_open_transaction_is_rolled_back_on_return(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    ask(connection, "DROP TABLE IF EXISTS moved")
    ask(connection, "CREATE TABLE moved (n INT)")
    connection.autocommit(False)
    ask(connection, "INSERT INTO moved VALUES (1)")
    loan.checkin()

    again, connection = lend(pool)
    assert connection.get_autocommit()
    assert ask(connection, "SELECT COUNT(*) FROM moved") == 0
    again.checkin()
    assert pool.stats().opened == 1


def test_an_unread_result_closes_the_connection(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    connection.query("SELECT 1")
    loan.checkin()

    again, connection = lend(pool)
    assert ask(connection, "SELECT 2") == 2
    again.checkin()
    assert pool.stats().opened == 2


def test_the_results_of_a_multi_statement_that_are_left_close_the_connection(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    connection.query("SELECT 1; SELECT 2")
    connection.store_result()
    loan.checkin()

    again, connection = lend(pool)
    assert ask(connection, "SELECT 3") == 3
    again.checkin()
    assert pool.stats().opened == 2


def test_connections_that_the_server_has_closed_are_never_lent(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=3)
    loans = [pool.checkout() for _ in range(3)]
    ids = [connection_of(loan).thread_id() for loan in loans]
    for loan in loans:
        loan.checkin()
    with server.admin() as admin:
        for thread_id in ids:
            admin.kill(thread_id)
            wait_until_gone(server, thread_id)

    for _ in range(6):
        loan, connection = lend(pool)
        assert ask(connection, "SELECT 1") == 1
        loan.checkin()


def wait_until_gone(server: Server, thread_id: int) -> None:
    assert poll(
        lambda: all(process["id"] != thread_id for process in server.process_list())
    )


def test_a_connection_that_its_user_has_closed_is_replaced_without_a_word(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    connection.close()
    loan.checkin()
    loan, connection = lend(pool)
    assert ask(connection, "SELECT 1") == 1
    loan.checkin()
    connection.close()  # while nobody has it
    loan, connection = lend(pool)
    assert ask(connection, "SELECT 1") == 1
    loan.checkin()
    assert not caplog.records


def test_a_live_connection_is_preferred_to_a_new_one(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=2)
    dead, alive = pool.checkout(), pool.checkout()
    dead_id, alive_id = (
        connection_of(dead).thread_id(),
        connection_of(alive).thread_id(),
    )
    dead.checkin()
    alive.checkin()
    with server.admin() as admin:
        admin.kill(dead_id)
        wait_until_gone(server, dead_id)

    loan = pool.checkout()
    assert connection_of(loan).thread_id() == alive_id
    loan.checkin()
    assert pool.stats().opened == 2


def test_an_expired_connection_is_replaced(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(pool_size=1, recycle=60)
    loan = pool.checkout()
    connection = connection_of(loan)
    loan.checkin()
    connection.expires = 0.0

    again = pool.checkout()
    assert again.connection is not connection
    again.checkin()


def test_a_connect_that_fails_gives_the_permit_back(make_pool: MakePool) -> None:
    def refuse() -> Connection:
        raise MySQLdb.OperationalError(1040, "Too many connections")

    pool = make_pool(refuse, pool_size=1)
    for _ in range(3):
        with pytest.raises(ServerUnavailable) as error:
            pool.checkout()
        assert error.value.alias == "bare"
        assert error.value.args == (1040, "Too many connections")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_while_connecting_gives_the_permit_back(
    make_pool: MakePool, interrupt: type[BaseException]
) -> None:
    def connect() -> Connection:
        raise interrupt

    pool = make_pool(connect, pool_size=1)
    with pytest.raises(interrupt):
        pool.checkout()
    assert pool.gate.free == 1


def test_a_connection_that_cannot_be_set_up_is_not_left_open(server: Server) -> None:
    before = {process["id"] for process in server.process_list()}

    # The traceback, which `failure` keeps, has the connection in it.
    with pytest.raises(MySQLdb.OperationalError, match="sql_mode") as failure:
        connector(server, "pooled_bare", sql_mode="NONSENSE")()

    assert failure.tb is not None
    assert poll(lambda: {p["id"] for p in server.process_list()} <= before)


def test_what_would_have_to_connect_is_not_waited_for(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan = pool.admit(Loan(pool))
    with pytest.raises(NoIdleConnection):
        pool.take_idle(loan)
    pool.take(loan)
    loan.checkin()

    loan = pool.admit(Loan(pool))
    pool.take_idle(loan)
    assert loan.is_out
    loan.checkin()


def test_a_cursor_that_outlives_its_loan_never_reaches_the_next_user(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    stale = connection.cursor()
    loan.checkin()
    with pytest.raises(MySQLdb.InterfaceError, match="given back"):
        stale.execute("SELECT 1")

    with ThreadPoolExecutor(1) as threads:
        other, _ = threads.submit(lend, pool).result()
        for use in (
            lambda: stale.execute("SELECT 1"),
            connection.commit,
            connection.rollback,
            lambda: connection.autocommit(False),
        ):
            with pytest.raises(MySQLdb.InterfaceError, match="given back"):
                use()
        other.checkin()


def test_disposing_closes_idle_connections_now_and_lent_ones_on_return(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=2)
    lent, idle = pool.checkout(), pool.checkout()
    ids = {connection_of(lent).thread_id(), connection_of(idle).thread_id()}
    lent_id = connection_of(lent).thread_id()
    idle.checkin()
    pool.dispose()

    wait_until_gone(server, (ids - {lent_id}).pop())
    assert ask(connection_of(lent), "SELECT 1") == 1
    lent.checkin()
    wait_until_gone(server, lent_id)
    assert pool.gate.free == 2


def test_what_comes_back_while_its_pool_is_disposed_of_is_closed(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is being made as new meanwhile, which takes some round trips."""
    pool = make_pool(pool_size=2)
    loan, connection = lend(pool)
    ask(connection, "SET @mine = 1")
    make_new = Connection.reset_session

    def reset_session(connection: Connection, autocommit: bool) -> bool:
        pool.dispose()
        return make_new(connection, autocommit)

    monkeypatch.setattr(Connection, "reset_session", reset_session)
    loan.checkin()

    assert (connection.open, pool.stats().idle, pool.gate.free) == (0, 0, 2)


def test_a_query_sent_without_waiting_makes_the_session_dirty(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    connection.send_query("SET @x = 1")
    connection.read_query_result()
    loan.checkin()
    loan, connection = lend(pool)
    assert ask(connection, "SELECT @x") is None
    loan.checkin()


def test_a_connection_that_was_just_opened_rests(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    assert (connection.is_at_rest, connection.is_drained()) == (True, True)
    loan.checkin()


def test_statements_of_the_next_user_tell_nothing_to_the_last(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    told: list[str] = []
    connection.after_rest = lambda: told.append("a statement has ended")
    loan.checkin()
    loan, again = lend(pool)
    assert again is connection
    assert ask(connection, "SELECT 1") == 1
    assert not told
    loan.checkin()


def test_who_gives_back_twice_is_nothing_to_the_next_user(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    loan.checkin()
    again, same = lend(pool)
    assert same is connection
    connection.query("SELECT 1")
    loan.checkin()
    assert connection.is_being_read
    connection.store_result()
    again.checkin()


@pytest.mark.parametrize("kept", [True, False])
def test_a_loan_tells_how_it_has_ended(make_pool: MakePool, kept: bool) -> None:
    pool = make_pool(pool_size=1)
    loan = pool.checkout()
    loan.checkin(kept)
    assert repr(loan) == f"<Loan of 'bare': {'returned' if kept else 'closed'}>"


def test_what_another_user_has_left_is_told_to_nobody(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    ask(connection, "SELECT 1")
    connection.forget_last_statement()
    with pytest.raises(MySQLdb.ProgrammingError, match="others have used since"):
        ask(connection, "SELECT FOUND_ROWS()")
    loan.checkin()
