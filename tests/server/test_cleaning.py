"""What each way of resetting a session cleans, and what it costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import MySQLdb
import pytest

from pooled_db.driver.connection import Connection
from pooled_db.pool import cleaners
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from pooled_db.request.scope import Scope
from tests.database_server import SERVER
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import ask, connection_of, lend, pool_of_one

MakePool = Callable[..., Pool]


@pytest.fixture
def pool(make_pool: MakePool) -> Pool:
    return pool_of_one(make_pool)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'user@example.org'",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t FOR UPDATE",
        "SELECT @@version",
        "SHOW TABLES",
        "SELECT 1 /*Model.objects.get()*/",
        "DO 1",
        "SELECT 1 AS job_lock",
        *(["SET STATEMENT max_statement_time = 1 FOR SELECT '@'"] * SERVER.is_mariadb),
    ],
)
def test_a_usual_statement_costs_nothing_on_return(
    pool: Pool, server: Server, statement: str
) -> None:
    loan, connection = lend(pool)
    ask(connection, statement)
    statements = server.status("Questions")
    opened = pool.stats().opened

    loan.checkin()
    loan, connection = lend(pool)
    loan.checkin()

    assert server.status("Questions") == statements
    assert pool.stats().opened == opened


class Borrower:
    """A wrapper that has nothing open."""

    has_atomic_block = False

    def detach(self) -> None: ...


def test_no_event_loop_makes_a_session_as_new(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of a connection either which is called back for a task that waits."""
    pool = make_pool(pool_size=1, reset="always")
    borrower = Borrower()
    loan = pool.checkout(lambda: borrower)
    connection = connection_of(loan)
    loan.unpin(threading.get_ident())
    ask(connection, "SELECT 1")
    make_new = Connection.reset_session
    threads: list[int] = []

    def reset_session(connection: Connection, autocommit: bool) -> bool:
        threads.append(threading.get_ident())
        return make_new(connection, autocommit)

    async def wait() -> None:
        waiting = Loan(pool)
        await pool.admit_async(waiting)
        waiting.checkin()

    monkeypatch.setattr(Connection, "reset_session", reset_session)
    asyncio.run(wait())

    assert (pool.stats().called_back, len(threads)) == (1, 1)
    assert threads != [threading.get_ident()]


def test_where_no_thread_can_start_a_request_gives_back_all_the_same(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = make_pool(pool_size=1)
    loan, connection = lend(pool)
    ask(connection, "SET @mine = 1")
    scope = Scope()
    scope.adopt(pool, loan, ends_with_it=True)
    monkeypatch.setattr(cleaners, "_executor", None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        asyncio.run(scope.close_async())

    assert (loan.has_ended, pool.gate.free, pool.stats().resets) == (True, 1, 1)


#: Questions about statements before, and what a new session answers.
DIAGNOSTICS = {
    "SHOW WARNINGS": None,
    "SELECT LAST_INSERT_ID()": 0,
    "SELECT FOUND_ROWS()": 1,
}


@pytest.mark.parametrize("question", DIAGNOSTICS)
def test_always_cleans_the_diagnostics_too(make_pool: MakePool, question: str) -> None:
    pool = make_pool(pool_size=1, reset="always")
    lease, connection = lend(pool)
    ask(connection, "DROP TABLE IF EXISTS numbers")
    ask(connection, "CREATE TABLE numbers (a INT AUTO_INCREMENT PRIMARY KEY)")
    ask(connection, "INSERT INTO numbers VALUES (7), (8)")
    ask(connection, "INSERT INTO numbers VALUES (NULL)")
    ask(connection, "SELECT SQL_CALC_FOUND_ROWS a FROM numbers LIMIT 1")
    ask(connection, "SELECT CAST('secret' AS SIGNED)")
    lease.checkin()

    lease, connection = lend(pool)
    assert ask(connection, question) == DIAGNOSTICS[question]
    lease.checkin()


def test_always_cleans_what_no_watcher_can_see(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, reset="always")
    loan, connection = lend(pool)
    ask(connection, "DROP FUNCTION IF EXISTS hidden")
    ask(
        connection,
        "CREATE FUNCTION hidden() RETURNS INT DETERMINISTIC "
        "BEGIN SET @hidden = 1; RETURN 1; END",
    )
    loan.checkin()

    loan, connection = lend(pool)
    ask(connection, "SELECT hidden()")
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT @hidden") is None
    loan.checkin()


def test_rollback_ends_transactions_and_leaves_the_rest(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, reset="rollback")
    loan, connection = lend(pool)
    ask(connection, "DROP TABLE IF EXISTS t")
    ask(connection, "CREATE TABLE t (a INT)")
    ask(connection, "SET @a = 1")
    ask(connection, "BEGIN")
    ask(connection, "INSERT INTO t VALUES (1)")
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT COUNT(*) FROM t") == 0
    assert ask(connection, "SELECT @a") == 1
    loan.checkin()
    assert pool.stats().opened == 1


def test_a_session_is_cleaned_on_the_same_connection(pool: Pool) -> None:
    opened = pool.stats().opened
    for _ in range(3):
        loan, connection = lend(pool)
        ask(connection, "SET @a = 1")
        loan.checkin()

    assert pool.stats().opened == opened


SLOW = "SELECT 1 FROM information_schema.columns WHERE SLEEP(5)"


def test_an_interrupted_statement_closes_the_connection(
    pool: Pool, server: Server
) -> None:
    loan, connection = lend(pool)
    opened = pool.stats().opened
    thread_id = connection.thread_id()
    killer = threading.Thread(target=kill_query, args=(server, thread_id))
    killer.start()
    with pytest.raises(MySQLdb.OperationalError, match="interrupted"):
        ask(connection, SLOW)
    killer.join()
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT 1") == 1
    loan.checkin()
    assert pool.stats().opened == opened + 1


def kill_query(server: Server, thread_id: int) -> None:
    assert poll(
        lambda: any(
            process["id"] == thread_id and process["info"]
            for process in server.process_list()
        )
    )
    with server.admin() as admin, admin.cursor() as cursor:
        cursor.execute(f"KILL QUERY {thread_id}")


@pytest.mark.parametrize("reset", ["dirty", "rollback"])
def test_a_transaction_that_is_rolled_back_leaves_nothing_to_be_cleaned(
    make_pool: MakePool, server: Server, reset: str
) -> None:
    pool = make_pool(pool_size=1, reset=reset)
    loan, connection = lend(pool)
    connection.autocommit(False)
    ask(connection, "SELECT 1")
    loan.checkin()
    loan, connection = lend(pool)
    assert (connection.is_dirty, connection.is_at_rest) == (False, True)
    statements = server.status("Questions")
    loan.checkin()
    assert server.status("Questions") == statements
