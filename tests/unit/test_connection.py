"""The driver's connection, and its pool, at a server that says what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import MySQLdb
import pytest
from MySQLdb.constants import FIELD_TYPE
from MySQLdb.cursors import SSCursor

from pooled_db.driver import DriverConnection, packets
from pooled_db.driver.as_opened import TABLES
from pooled_db.driver.connection import Connection
from pooled_db.driver.guarded import GuardedConnection
from pooled_db.driver.slot import AT_WORK, TRANSACTION, Slot
from pooled_db.driver.slot import SIZE as SLOT_SIZE
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
        (1153, "Got a packet bigger than 'max_allowed_packet' bytes", "doubtful"),
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
    limits = {server.port: 2**20}
    monkeypatch.setattr(packets, "_limit", lambda options: limits[options["port"]])
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


@pytest.mark.filterwarnings("ignore:The reconnect parameter:DeprecationWarning")
@pytest.mark.parametrize("reconnect", [(), (False,), (True,)])
def test_one_that_would_connect_again_by_itself_is_lent_to_nobody_else(
    make: Callable[..., Pool], reconnect: tuple[bool, ...]
) -> None:
    pool = make(pool_size=1)
    loan, connection = lend(pool)
    connection.ping(*reconnect)
    loan.checkin()
    assert pool.stats().idle == (reconnect != (True,))


@pytest.mark.parametrize("name", TABLES)
def test_other_conversions_are_those_of_one_user(
    make: Callable[..., Pool], name: str
) -> None:
    pool = make(pool_size=1)
    for change in (
        lambda one: setattr(one, name, {}),
        lambda one: getattr(one, name).clear(),
    ):
        loan, connection = lend(pool)
        before = dict(getattr(connection, name))
        change(connection)
        loan.checkin()
        loan, connection = lend(pool)
        assert getattr(connection, name) == before
        loan.checkin()


def test_another_class_of_cursors_is_that_of_one_user(
    make: Callable[..., Pool],
) -> None:
    pool = make(pool_size=1)
    loan, connection = lend(pool)
    before, connection.cursorclass = connection.cursorclass, SSCursor
    loan.checkin()
    loan, connection = lend(pool)
    assert connection.cursorclass is before
    loan.checkin()


def test_a_session_is_made_as_new_without_its_users_conversions(
    make: Callable[..., Pool],
) -> None:
    """The server's answers are read on the way."""
    pool = make(pool_size=1)
    loan, connection = lend(pool)
    connection.converter[FIELD_TYPE.VAR_STRING] = lambda value: value[1000]
    dirty(loan)
    loan.checkin()
    assert (pool.stats().idle, pool.stats().resets) == (1, 1)


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
        seen.extend((elsewhere, connection.in_statement, not connection.is_at_rest))
        return original(connection)

    loan, connection = lend(make(pool_size=1))
    assert not connection.in_statement
    if before is not None:
        before(connection)
    monkeypatch.setattr(DriverConnection, name, wait)
    getattr(connection, name)()
    assert seen == [True, True, True]
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


# What others see of it, and what is kept of its statements and cursors.


def test_others_see_whether_somebody_works_with_it(
    make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    loan, connection = lend(make(pool_size=1))
    connection.slot = slot = Slot(memoryview(bytearray(8 * SLOT_SIZE)))
    within: list[int] = []
    query = DriverConnection.query

    def look(one: Any, *args: Any) -> Any:
        within.append(slot.words[AT_WORK])
        return query(one, *args)

    def is_at_work(*statements: str) -> bool:
        for statement in statements:
            connection.query(statement)
            connection.store_result()
        return bool(slot.words[AT_WORK])

    monkeypatch.setattr(DriverConnection, "query", look)
    assert not is_at_work("SELECT 1")
    assert within == [True]
    assert is_at_work("SET @a = 1", "SELECT 1")  # to be made as new
    connection.is_dirty = False
    assert not is_at_work("SELECT 1")
    connection.autocommit(False)
    assert slot.words[TRANSACTION]
    connection.slot = None
    loan.discard()


def test_an_open_cursor_is_seen_after_many_others(make: Callable[..., Pool]) -> None:
    loan, connection = lend(make(pool_size=1))
    kept = connection.cursor()
    for _ in range(20):
        connection.cursor().close()
    assert len(connection._cursors) < 10  # those that are closed are forgotten
    assert connection.has_open_cursor()
    kept.close()
    assert not connection.has_open_cursor()
    last = connection.cursor()
    assert connection.has_open_cursor()
    last.close()
    loan.checkin()


def test_of_a_statement_in_no_known_characters_all_others_are_told(
    make: Callable[..., Pool],
) -> None:
    loan, connection = lend(make(pool_size=1))
    told = [connection.dirtied_by]
    connection.query(b"SET @a = '\xff'")
    connection.store_result()
    told.append(connection.dirtied_by)
    assert told == [None, "SET @a = '\N{REPLACEMENT CHARACTER}'"]
    loan.discard()


def test_so_is_one_looked_at_that_a_driver_sends_as_it_was_read(
    make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyMySQL takes such a text for the bytes that it was made of."""
    loan, connection = lend(make(pool_size=1))
    monkeypatch.setattr(DriverConnection, "query", lambda *args: None)
    connection.query("SET @a = '\udcff'")
    assert connection.is_dirty
    loan.discard()


def test_rows_that_nobody_has_read_are_left_to_be_read(
    server: FakeServer, make: Callable[..., Pool]
) -> None:
    server.answers("SELECT 1", [["1"], ["2"]])
    loan, connection = lend(make(pool_size=1))
    assert connection.is_drained()
    cursor = connection.cursor(SSCursor)
    cursor.execute("SELECT 1")
    assert not connection.is_drained()
    loan.discard()


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
