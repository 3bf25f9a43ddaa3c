"""The driver's connection, and its pool, at a server that says what it is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest
from MySQLdb.cursors import SSCursor

from pooled_db.driver import DriverConnection, packets
from pooled_db.driver.connection import Connection
from pooled_db.driver.guarded import GuardedConnection
from pooled_db.driver.use import NO_THREAD
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from tests.gates import start
from tests.harness.fake_server import FakeServer
from tests.loans import lend

IS_NEW = "SELECT @@init_connect, CURRENT_ROLE()"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.answers(IS_NEW, [["", "NONE"]])
        yield server


@pytest.fixture
def make(server: FakeServer) -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def connect() -> Connection:
        address = {"host": server.host, "port": server.port}
        return Connection(user="any", password="any", autocommit=True, **address)

    def make(**options: Any) -> Pool:
        made.append(Pool("fake", connect, **options))
        return made[-1]

    yield make
    for pool in made:
        assert (pool.gate.free, pool.checkedout()) == (pool.gate.capacity, 0)
        pool.dispose()


def dirty(loan: Loan) -> None:
    assert loan.connection is not None
    loan.connection.query("SET @a = 1")
    loan.connection.store_result()


# What is said of one that is closed, or new.


@pytest.mark.parametrize(
    ("code", "text", "why"),
    [
        (1053, "Server shutdown in progress", "dead"),
        (2013, "Lost connection to server during query", "dead"),
        (1317, "Query execution was interrupted", "doubtful"),
        (1969, "Query execution was interrupted (max_statement_time)", "doubtful"),
        (3024, "Query execution was interrupted, maximum time exceeded", "doubtful"),
        (1792, "Cannot execute statement in a READ ONLY transaction", "doubtful"),
        (1031, "Storage engine InnoDB doesn't have this option", "doubtful"),
    ],
)
def test_what_a_statement_ends_in_says_why_its_connection_is_closed(
    server: FakeServer, make: Callable[..., Pool], code: int, text: str, why: str
) -> None:
    pool = make(pool_size=1)
    loan, connection = lend(pool)
    server.says("query", code, text)
    with pytest.raises(MySQLdb.Error):
        connection.query("UPDATE items SET n = 1")
    loan.checkin()
    assert {why: 1}.items() <= pool.stats().closed.items()
    assert sum(pool.stats().closed.values()) == 1


def test_a_statement_that_was_too_large_is_named_where_it_fails(
    server: FakeServer, make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "_limit", lambda options: 2**20)
    pool = make(pool_size=1)
    loan, connection = lend(pool)
    server.says("query", 1053, "Server shutdown in progress")
    with pytest.raises(MySQLdb.Error, match="max_allowed_packet") as raised:
        connection.query("SELECT " + 2**20 * "1")
    assert raised.value.args[0] == 1153
    loan.checkin()


def test_what_was_opened_and_not_used_needs_no_cleaning(
    server: FakeServer, make: Callable[..., Pool]
) -> None:
    pool = make(pool_size=1, reset="always")
    loan = pool.admit(Loan(pool))
    pool.take(loan)
    loan.checkin()
    assert (server.reached["change_user"], pool.stats().idle) == (0, 1)
    lend(pool)[0].checkin()
    assert (server.reached["change_user"], pool.stats().idle) == (1, 1)


def test_one_at_the_address_that_there_always_was_makes_no_other_end_sooner(
    make: Callable[..., Pool],
) -> None:
    pool = make(pool_size=2)
    first, connection = lend(pool)
    expires = connection.expires
    lend(pool)[0].checkin()
    assert connection.expires == expires
    first.checkin()


def test_the_room_of_one_that_is_closed_is_left_to_nobody_who_did_not_ask(
    make: Callable[..., Pool],
) -> None:
    pool = make(pool_size=2)
    first, second = pool.checkout(), pool.checkout()
    first.discard()
    assert pool.stats().granted == 2
    second.checkin()


# Sessions that are made as new.


def test_an_account_that_was_let_in_again_is_tried_again(
    server: FakeServer, make: Callable[..., Pool]
) -> None:
    pool = make(pool_size=3)
    loans = [lend(pool)[0] for _ in range(3)]
    server.says("change_user", 1045, "Access denied")
    for loan in loans[:2]:
        dirty(loan)
        loan.checkin()
    assert server.reached["change_user"] == 1

    server.recovers()
    lend(pool)[0].checkin()  # it opens one
    dirty(loans[2])
    loans[2].checkin()
    assert server.reached["change_user"] == 2
    assert pool.stats().resets == 1


# Between the calls of one statement.


def send(connection: Connection) -> None:
    connection.send_query(b"SELECT 1")


def query(connection: Connection) -> None:
    connection.query("SELECT 1")


def use_result(connection: Connection) -> None:
    connection.cursor(SSCursor).execute("SELECT 1")


@pytest.mark.parametrize("begin", [send, query, use_result])
def test_what_a_thread_has_not_read_keeps_nobody_from_ending_its_loan(
    make: Callable[..., Pool], begin: Callable[[Connection], None]
) -> None:
    pool = make(pool_size=1)

    def work() -> Loan:
        loan, connection = lend(pool)
        begin(connection)
        assert connection.is_being_read is (begin is not use_result)
        return loan

    with ThreadPoolExecutor(1) as thread:
        loan = thread.submit(work).result()
        assert loan.connection is not None
        assert not loan.connection.in_query
        assert loan.connection.in_statement is (begin is not use_result)
        loan.checkin()
        assert loan.has_ended


@pytest.mark.parametrize(
    ("name", "before"),
    [("commit", None), ("read_query_result", send), ("use_result", query)],
)
def test_whoever_waits_for_the_server_is_inside_a_statement(
    make: Callable[..., Pool],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    before: Callable[[Connection], None] | None,
) -> None:
    """As all others see it, who must not close it now."""
    seen: list[bool] = []
    original = getattr(DriverConnection, name)

    def wait(connection: Connection) -> Any:
        elsewhere = start(lambda: connection.in_query).result()
        seen.extend((elsewhere, connection.in_statement))
        return original(connection)

    loan, connection = lend(make(pool_size=1))
    assert not connection.in_statement
    if before is not None:
        before(connection)
    monkeypatch.setattr(DriverConnection, name, wait)
    getattr(connection, name)()
    assert seen == [True, True]
    assert not start(lambda: connection.in_query).result()
    loan.checkin()


def test_rows_whose_loan_ends_at_the_last_moment_are_not_read(
    make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    loan, connection = lend(make(pool_size=1))
    looks = iter([True, False])
    monkeypatch.setattr(GuardedConnection, "is_out_for", lambda *_: next(looks))
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        connection.read_on(loan, pytest.fail)
    assert not connection.in_statement
    loan.checkin()


def test_who_has_no_turn_is_told_that_there_is_no_more(
    make: Callable[..., Pool],
) -> None:
    """So a cursor is closed in peace, even if somebody else works."""
    loan, connection = lend(make(pool_size=1))
    assert connection.next_result() == -1
    cursor = connection.cursor()
    cursor.execute("SET @a = 1")
    other = start(lambda: connection.next_result()).result()
    assert other == -1
    assert cursor.nextset() is None
    loan.checkin()


# In a forked child.


def test_a_child_lets_go_of_the_socket_and_writes_nowhere() -> None:
    here, there = socket.socketpair()
    with here, there, open(os.devnull, "rb") as null:
        inherited: Any = SimpleNamespace(slot=object(), fileno=here.fileno)
        Connection.abandon(inherited, null.fileno())
        assert inherited.slot is None
        assert inherited.loan.user == NO_THREAD
        assert os.path.sameopenfile(here.fileno(), null.fileno())
        assert not os.get_inheritable(here.fileno())
        assert there.recv(1) == b""


def test_a_server_that_is_gone_is_said_by_its_number(
    make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where MariaDB Connector/C would damage the heap."""
    loan, connection = lend(make(pool_size=1))
    monkeypatch.setattr(Connection, "_has_socket", lambda self: False)
    with pytest.raises(MySQLdb.OperationalError) as raised:
        connection.change_user("any", "any")
    assert raised.value.args == (2006, "Server has gone away")
    loan.checkin()
