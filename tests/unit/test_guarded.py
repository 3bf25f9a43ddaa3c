"""A connection from a statement's first byte to its last row, and what that leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any

import MySQLdb
import pytest
from MySQLdb.cursors import SSCursor

from pooled_db.driver import DriverConnection
from pooled_db.driver.connection import Connection
from pooled_db.driver.errors import pooled_alias
from pooled_db.driver.slot import AT_WORK, Slot
from pooled_db.driver.slot import SIZE as SLOT_SIZE
from pooled_db.driver.use import ANY_THREAD, OwnUse
from pooled_db.pool.loan import Loan
from tests.gates import PATIENCE, start
from tests.harness.fake_server import FakeServer
from tests.harness.interrupts import Interrupted
from tests.loans import run


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
    with pytest.raises(MySQLdb.ProgrammingError) as raised:
        connection.query("SELECT")
    assert pooled_alias(raised.value) == "fake"
    assert (connection.in_statement, connection.is_at_rest) == (False, True)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_without_autocommit_what_is_not_committed_is_no_rest(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    connection: Any = lent[1]
    monkeypatch.setattr(Connection, "get_autocommit", lambda self: False)
    connection.home_mode = False
    connection.slot = slot = Slot(memoryview(bytearray(8 * SLOT_SIZE)))
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        """As whoever waits for rest does, and another process."""
        seen.append((connection.is_at_rest, not slot.words[AT_WORK]))

    look()
    for step in (partial(run, connection, "DELETE FROM t"), getattr(connection, end)):
        connection.after_rest = look
        step()
    assert seen == [(True, True), (False, False), (True, True)]
    connection.home_mode, connection.slot = True, None


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


def unread(connection: Connection) -> None:
    """Make a statement that has no rows, and do not ask for its answer."""
    connection.query("UPDATE t SET a = 1")


def row_by_row(connection: Connection) -> None:
    connection.query("SELECT 1")
    assert connection.use_result().fetch_row(0)


@pytest.mark.parametrize(
    "work", [unread, row_by_row, lambda connection: run(connection, "SET @a = 1")]
)
@pytest.mark.parametrize("user", [get_ident(), ANY_THREAD], ids=["this thread", "any"])
def test_of_what_may_have_more_the_driver_is_asked(
    lent: tuple[Loan, Connection],
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Connection], None],
    user: int | None,
) -> None:
    _, connection = lent
    connection.loan = OwnUse(user)
    work(connection)
    monkeypatch.setattr(DriverConnection, "next_result", lambda self: 0)
    assert not connection.is_drained()
    work(connection)
    assert connection.next_result() == 0


def unanswered(connection: Connection) -> None:
    connection.query("SELECT 1")


def sent(connection: Connection) -> None:
    connection.send_query(b"SELECT 1")


def half_read(connection: Connection) -> object:
    connection.query("SELECT 1")
    return connection.use_result()


@pytest.mark.parametrize("work", [unanswered, sent, half_read])
def test_what_has_an_answer_on_the_way_is_not_at_rest_nor_is_it_drained(
    lent: tuple[Loan, Connection], work: Callable[[Connection], object]
) -> None:
    loan, connection = lent
    connection.slot = slot = Slot(memoryview(bytearray(8 * SLOT_SIZE)))
    kept = work(connection)
    assert not connection.is_at_rest
    assert slot.words[AT_WORK]
    assert not connection.is_drained()
    connection.slot = None
    # Nor can another statement be made, after which nobody knows what comes.
    for again in (connection.query, connection.send_query):
        with pytest.raises(MySQLdb.ProgrammingError, match="out of sync"):
            again(b"SELECT 1")
    assert (connection.is_doubtful, connection.was_left_unread) == (True, True)
    del kept
    loan.discard()


def test_after_the_second_half_of_a_statement_another_may_be_made(
    lent: tuple[Loan, Connection],
) -> None:
    _, connection = lent
    sent(connection)
    connection.read_query_result()
    assert connection.store_result().fetch_row() == (("1",),)
    assert connection.is_drained()
    run(connection, "SELECT 1")


def test_of_what_is_read_the_driver_is_asked_nothing_more(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread of the request may be using it, where it is shared."""
    _, connection = lent
    run(connection, "SELECT 1")
    monkeypatch.setattr(DriverConnection, "next_result", pytest.fail)
    assert connection.next_result() == -1
    assert connection.is_drained()


@pytest.mark.parametrize("options", [{}, {"unbuffered": True}])
def test_the_driver_is_told_how_a_statement_is_to_be_made(
    lent: tuple[Loan, Connection],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    """PyMySQL is asked for rows one by one so, and says how many there are."""
    _, connection = lent
    monkeypatch.setattr(
        DriverConnection, "query", lambda self, query, **given: (query, given)
    )
    assert connection.query("SELECT 1", **options) == ("SELECT 1", options)


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


@pytest.mark.parametrize(
    ("thread", "may"),
    [(lambda ask: ask(), True), (lambda ask: start(ask).result(PATIENCE), False)],
    ids=["this thread", "another"],
)
def test_its_own_thread_may_end_a_loan_within_a_statement_and_no_other(
    lent: tuple[Loan, Connection],
    monkeypatch: pytest.MonkeyPatch,
    thread: Callable[[Callable[[], object]], object],
    may: bool,
) -> None:
    """A finalizer or a signal handler comes at any moment."""
    _, connection = lent
    let_go: list[object] = []

    def strike(*args: object) -> None:
        let_go.extend((thread(connection.let_go), thread(lambda: connection.in_query)))

    monkeypatch.setattr(DriverConnection, "query", strike)
    connection.query("SELECT 1")
    assert let_go == [may, not may]


@pytest.mark.parametrize(
    ("name", "before"),
    [
        *(("query", None), ("send_query", None), ("commit", None)),
        *(("store_result", "query"), ("use_result", "query")),
        ("read_query_result", "send_query"),
    ],
)
def test_after_an_interrupt_nobody_knows_how_it_is(
    lent: tuple[Loan, Connection],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    before: str | None,
) -> None:
    _, connection = lent

    def call(name: str) -> None:
        arguments = (b"SELECT 1",) if name.endswith("query") else ()
        getattr(connection, name)(*arguments)

    def strike(*args: object) -> None:
        raise Interrupted

    if before is not None:
        call(before)
    monkeypatch.setattr(DriverConnection, name, strike)
    with pytest.raises(Interrupted) as raised:
        call(name)
    assert connection.is_doubtful
    assert connection.was_left_unread
    assert not connection.in_query
    assert pooled_alias(raised.value) is None


@pytest.mark.parametrize("code", [2014, 2020, 2026], ids=["step", "packet", "TLS"])
def test_so_it_is_after_what_the_client_library_says(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _, connection = lent

    def fail(*args: object) -> None:
        raise MySQLdb.OperationalError(code, "so be it")

    monkeypatch.setattr(DriverConnection, "query", fail)
    with pytest.raises(MySQLdb.OperationalError):
        connection.query("SELECT 1")
    assert connection.is_doubtful
    assert connection.is_out_of_step is (code == 2014)


@pytest.mark.parametrize("name", ["commit", "rollback"])
def test_so_it_is_after_an_end_of_a_transaction_that_fails(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _, connection = lent

    def fail(*args: object) -> None:
        raise MySQLdb.OperationalError(1213, "Deadlock found when trying to get lock")

    monkeypatch.setattr(DriverConnection, name, fail)
    with pytest.raises(MySQLdb.OperationalError):
        getattr(connection, name)()
    assert connection.is_doubtful


def test_so_it_is_after_one_that_strikes_between_two_results(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connection = lent
    run(connection, "SET @a = 1")

    def strike(*args: object) -> None:
        raise Interrupted

    monkeypatch.setattr(DriverConnection, "next_result", strike)
    with pytest.raises(Interrupted):
        connection.next_result()
    assert connection.was_left_unread
    # The driver is asked no more: it would raise an error in its place.
    monkeypatch.setattr(DriverConnection, "next_result", pytest.fail)
    assert connection.next_result() == -1


def test_what_is_closed_with_its_answer_was_left_unread(
    lent: tuple[Loan, Connection],
) -> None:
    _, connection = lent
    connection.query("SELECT 1")
    connection.close()
    assert connection.was_left_unread


def test_an_answer_is_nobodys_whose_loan_another_thread_has_ended(
    lent: tuple[Loan, Connection],
) -> None:
    loan, connection = lent
    connection.query("SELECT 1")
    start(loan.checkin).result(PATIENCE)
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        connection.store_result()


def test_what_another_thread_has_not_read_it_goes_on_with(
    lent: tuple[Loan, Connection],
) -> None:
    loan, connection = lent
    connection.query("SELECT 1")
    assert connection.is_being_read
    elsewhere = start(lambda: (connection.is_being_read, connection.was_left_unread))
    assert elsewhere.result() == (False, False)
    loan.discard()


def test_a_cursor_is_of_the_class_that_is_asked_for(
    lent: tuple[Loan, Connection],
) -> None:
    """PyMySQL has another name for it."""
    _, connection = lent
    for cursor in (
        connection.cursor(SSCursor),
        connection.cursor(cursorclass=SSCursor),
        connection.cursor(cursor=SSCursor),
    ):
        assert isinstance(cursor, SSCursor)
    assert not isinstance(connection.cursor(), SSCursor)


@pytest.mark.parametrize(
    ("options", "mode"),
    [({}, True), ({"autocommit": True}, True), ({"autocommit": False}, False)],
)
def test_it_rests_in_the_mode_in_which_it_was_opened_or_djangos(
    server: FakeServer, options: dict[str, Any], mode: bool
) -> None:
    connection: Any = Connection(
        host=server.host, port=server.port, user="any", **options
    )
    assert (connection.home_mode, connection.is_dirty) == (mode, False)
    connection.close()


def test_a_mode_is_set_where_the_session_has_another(
    server: FakeServer, lent: tuple[Loan, Connection]
) -> None:
    """This server has autocommit on, whatever it is told."""
    _, connection = lent
    before = server.reached["query"]
    connection.autocommit(True)
    assert server.reached["query"] == before
    connection.autocommit(False)
    assert server.reached["query"] == before + 1
