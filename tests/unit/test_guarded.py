"""A connection from a statement's first byte to its last row, and what that leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import DriverConnection, packets
from pooled_db.driver.connection import NOT_SET_UP, Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from tests.gates import start
from tests.harness.fake_server import FakeServer
from tests.loans import connector, lend


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.answers("SELECT @@init_connect", [["", "NONE"]])
        server.answers("SELECT 1", [["1"]])
        yield server


@pytest.fixture
def lent(server: FakeServer) -> Iterator[tuple[Loan, Connection]]:
    pool = Pool("fake", connector(server), pool_size=1)
    loan, connection = lend(pool)
    yield loan, connection
    loan.checkin()
    assert (pool.gate.free, pool.checkedout()) == (1, 0)
    pool.dispose()


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.query(statement)
        connection.store_result()


def test_whose_loan_it_is_for_may_use_it_until_that_ends(
    lent: tuple[Loan, Connection],
) -> None:
    loan, connection = lent
    run(connection, "SELECT 1")
    loan.checkin()
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        connection.query("SELECT 1")


def test_after_a_statement_that_failed_it_is_at_rest(
    server: FakeServer, lent: tuple[Loan, Connection]
) -> None:
    _, connection = lent
    server.says("query", 1064, "You have an error in your SQL syntax")
    with pytest.raises(MySQLdb.ProgrammingError):
        connection.query("SELECT")
    assert (connection.in_statement, connection.is_at_rest) == (False, True)


def test_without_autocommit_what_is_not_committed_is_no_rest(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection: Any = lent[1]
    monkeypatch.setattr(Connection, "get_autocommit", lambda self: False)
    connection.home_mode = False
    assert connection.is_at_rest
    run(connection, "DELETE FROM t")
    assert not connection.is_at_rest
    connection.commit()
    assert connection.is_at_rest
    connection.home_mode = True


def test_when_all_rows_are_read_nothing_is_on_the_way(
    lent: tuple[Loan, Connection],
) -> None:
    _, connection = lent
    connection.query("SELECT 1")
    rows = connection.use_result()
    assert not connection.is_at_rest
    assert rows.fetch_row(0)
    del rows
    assert connection.is_drained()
    assert connection.is_at_rest


def test_of_what_is_read_the_driver_is_asked_nothing_more(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread of the request may be using it, where it is shared."""
    _, connection = lent
    run(connection, "SELECT 1")
    monkeypatch.setattr(DriverConnection, "next_result", pytest.fail)
    assert connection.next_result() == -1


def test_whoever_reads_rows_is_inside_a_statement(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connection = lent
    original: Any = DriverConnection.store_result
    seen: list[bool] = []

    def read(one: Connection) -> Any:
        seen.append(start(lambda: one.in_query).result())
        return original(one)

    monkeypatch.setattr(DriverConnection, "store_result", read)
    run(connection, "SELECT 1")
    assert seen == [True]


# What it leaves in the session.


def test_what_was_changed_first_is_told_whatever_comes_after(
    lent: tuple[Loan, Connection],
) -> None:
    _, connection = lent
    connection.isolation_level = "read committed"
    run(connection, "SET @a = 1", "SET @b = 2")
    connection.change_user("other", "password", "database")
    assert connection.dirtied_by == "SET @a = 1"
    assert connection.isolation_level is NOT_SET_UP


def test_what_no_reset_undoes_is_not_kept(lent: tuple[Loan, Connection]) -> None:
    _, connection = lent
    run(connection, "SET @a = 1")
    assert not connection.is_doubtful
    run(connection, "SET profiling = 1")
    assert connection.is_doubtful


def test_a_backslash_escapes_a_quote_if_the_server_says_so(
    lent: tuple[Loan, Connection],
) -> None:
    _, connection = lent
    run(connection, r"SELECT '\' @a := 1'")
    assert not connection.is_dirty


def test_whoever_takes_one_outside_of_requests_is_known_by_where(
    lent: tuple[Loan, Connection],
) -> None:
    loan, _ = lent
    assert loan.origin is not None


def test_where_the_server_cannot_be_asked_no_limit_is_told(server: FakeServer) -> None:
    address = {"host": server.host, "port": server.port, "user": "any"}
    server.answers("SELECT @@max_allowed_packet", [["1048576"]])
    assert packets._limit(address) == 1_048_576
    server.says("greeting", 1040, "Too many connections")
    assert packets._limit(address) is None
