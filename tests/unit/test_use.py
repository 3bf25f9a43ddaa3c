"""Who may use a connection, and when it counts as used: without a server."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import DriverConnection, packets
from pooled_db.driver.connection import Connection
from pooled_db.driver.cursor import taking_turns
from pooled_db.driver.guarded import NO_MORE_RESULTS, GuardedConnection
from pooled_db.driver.packets import name_too_large
from pooled_db.driver.use import ANY_THREAD, NO_THREAD, OwnUse

ELSEWHERE = 7


class Lent(OwnUse):
    """The use of a connection that threads have in turns."""

    def take_turn(self, thread: int) -> None:
        self.user = thread


# From before a statement until after it.


def test_who_begins_to_use_it_waits_for_its_turn_and_keeps_it() -> None:
    here = threading.get_ident()
    lent: Any = Lent(ELSEWHERE)
    connection: Any = SimpleNamespace(loan=lent)
    used: Any = GuardedConnection.begin_use(connection)
    assert used is lent
    assert (lent.user, lent.pins) == (here, {here})
    # Within a statement of its own there is nothing to begin.
    assert GuardedConnection.begin_use(connection) is None


def test_what_any_thread_may_use_is_nobodys_turn() -> None:
    lent: Any = OwnUse(ANY_THREAD)
    connection: Any = SimpleNamespace(loan=lent)
    used: Any = GuardedConnection.begin_use(connection)
    assert used is lent
    assert lent.user is ANY_THREAD


class Cursor:
    """A driver's cursor, as far as statements go."""

    def __init__(self, connection: object) -> None:
        self.connection = connection

    def execute(self, query: str) -> set[int]:
        """Make it, and tell who has pinned the loan meanwhile."""
        connection: Any = self.connection
        return set(connection.loan.pins)

    executemany = callproc = execute


class WithMore(Cursor):
    """One whose statements may have several results."""

    def nextset(self) -> None:
        """Go on to the next."""


class InTurns(SimpleNamespace):
    is_out_of_step = False

    def begin_use(self) -> Any:
        return GuardedConnection.begin_use(self)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["execute", "executemany", "callproc"])
@pytest.mark.parametrize(
    "at_first", [ELSEWHERE, threading.get_ident()], ids=["another", "this thread"]
)
def test_a_cursor_has_the_connection_for_its_statement_and_no_longer(
    at_first: int, method: str
) -> None:
    here = threading.get_ident()
    lent = Lent(at_first)
    cursor = taking_turns(Cursor)(InTurns(loan=lent))
    assert getattr(cursor, method)("SELECT 1") == {here}
    assert (lent.user, lent.pins) == (here, set())


def test_whoever_stands_in_line_has_its_turn_when_a_cursor_is_done() -> None:
    here = threading.get_ident()
    passed_on: list[int] = []

    class InLine(Lent):
        line = (object(),)  # type: ignore[assignment]

        def unpin(self, thread: int) -> None:
            super().unpin(thread)
            passed_on.append(thread)

    lent = InLine(here)
    cursor = taking_turns(Cursor)(InTurns(loan=lent))
    assert cursor.execute("SELECT 1") == {here}
    assert passed_on == [here]


CLOSED = (2006, "")
GONE = (2006, "Server has gone away")


@pytest.mark.parametrize(
    ("user", "error", "says"),
    [
        (NO_THREAD, CLOSED, "given back to its pool"),
        (NO_THREAD, GONE, "gone away"),
        (threading.get_ident(), CLOSED, "2006"),
    ],
    ids=["after its loan", "of the server", "by its user"],
)
def test_whoever_is_closed_with_the_end_of_its_loan_is_told_so(
    user: int, error: tuple[int, str], says: str
) -> None:
    class Closed(Cursor):
        """The connection ends before the number of rows is asked for."""

        def execute(self, query: str) -> set[int]:
            lent.user = user
            raise MySQLdb.OperationalError(*error)

    lent = Lent(threading.get_ident())
    with pytest.raises(MySQLdb.Error, match=says):
        taking_turns(Closed)(InTurns(loan=lent)).execute("SELECT 1")
    assert lent.pins == set()


def test_a_cursor_that_takes_turns_is_called_as_the_one_it_is_of() -> None:
    """Tracers tell by these names what was called."""
    derived = taking_turns(WithMore)
    assert derived.__name__ == "WithMore"
    for name in ("execute", "nextset"):
        assert getattr(derived, name).__name__ == name
        assert getattr(derived, name).__doc__ == getattr(WithMore, name).__doc__


def test_it_says_nothing_of_more_results_when_nobody_knows() -> None:
    connection = InTurns(loan=OwnUse(ANY_THREAD))
    cursor = taking_turns(WithMore)(connection)
    assert cursor.nextset() is None
    connection.is_out_of_step = True
    with pytest.raises(MySQLdb.ProgrammingError) as raised:
        cursor.nextset()
    assert raised.value.args[0] == 2014
    cursor.connection = None
    assert cursor.nextset() is None
    assert not hasattr(taking_turns(Cursor), "nextset")


# Reading.


class Reading:
    """A connection whose answer this or another thread may read."""

    def __init__(self, reader: int | None, later: int | None) -> None:
        self.readers = [reader, later]
        self.done: list[str] = []

    @property
    def _reader(self) -> int | None:
        return self.readers.pop(0) if len(self.readers) > 1 else self.readers[0]

    def _begin(self) -> None:
        self.done.append("begin")

    def _rest(self) -> None:
        self.done.append("rest")


@pytest.mark.parametrize(
    ("reads", "may_go_on", "done"),
    [
        (True, True, []),
        (True, False, ["rest", "begin"]),
        (False, False, ["begin"]),
    ],
)
def test_who_may_read_an_answer_reads_it_though_its_loan_has_ended(
    reads: bool, may_go_on: bool, done: list[str]
) -> None:
    here = threading.get_ident()
    connection: Any = Reading(here if reads else None, here if may_go_on else None)
    GuardedConnection._begin_reading(connection)
    assert connection.done == done


def test_rows_of_a_loan_that_has_ended_are_not_read_nor_is_anybody_disturbed() -> None:
    connection: Any = SimpleNamespace(is_out_for=lambda loan: False, _busy=ELSEWHERE)
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        GuardedConnection.read_on(connection, OwnUse(NO_THREAD), pytest.fail)
    assert connection._busy == ELSEWHERE


def test_what_has_no_rows_leaves_nothing_to_be_read() -> None:
    class Answered(SimpleNamespace):
        is_dirty = is_out_of_step = is_doubtful = _unbuffered = False
        _unread = True

        def _has_answer(self) -> bool:
            return False

        def _begin(self) -> None:
            self.begun = True

        def _rest(self) -> None: ...

        def _judge(self, error: BaseException) -> None: ...

    connection: Any = Answered(loan=OwnUse(threading.get_ident()), begun=False)
    with pytest.raises(TypeError):  # it is not the driver's, which is asked
        GuardedConnection.next_result(connection)
    assert connection.begun
    connection._has_answer = lambda: True
    assert GuardedConnection.next_result(connection) == NO_MORE_RESULTS
    assert connection.is_doubtful


# What opening it, and a large statement, end in.


def test_a_handshake_that_breaks_blames_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = MySQLdb.OperationalError(2026, "TLS/SSL error: self-signed certificate")

    def fail(*args: object, **kwargs: object) -> None:
        raise said

    monkeypatch.setattr(DriverConnection, "__init__", fail)
    with pytest.raises(MySQLdb.OperationalError) as broke:
        Connection(host="db.internal", ssl_mode="REQUIRED")
    text = "Lost connection to server during the TLS handshake"
    assert broke.value.args == (2013, text)
    assert broke.value.__cause__ is said
    # Who wants it verified is told of the certificate.
    with pytest.raises(MySQLdb.OperationalError) as untrusted:
        Connection(host="db.internal", ssl_mode="VERIFY_CA")
    assert untrusted.value is said


@pytest.mark.parametrize(
    ("size", "limit", "code"),
    [
        (2**20, 2**20, 1153),
        (2**20, 2**20 + 1, 2013),
        (2**20 - 1, 1024, 2013),
        (2**24, None, 2013),
    ],
)
def test_a_statement_that_was_too_large_is_named(
    monkeypatch: pytest.MonkeyPatch, size: int, limit: int | None, code: int
) -> None:
    monkeypatch.setattr(packets, "_limit", lambda options: limit)
    error: Any = MySQLdb.OperationalError(
        2013, "Lost connection to server during query"
    )
    name_too_large(error, size, {})
    assert error.args[0] == code
    assert ("max_allowed_packet" in error.args[1]) is (code == 1153)


@pytest.mark.parametrize("code", [1064, 1040])
def test_a_large_statement_that_lost_no_connection_is_not_called_too_large(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(packets, "_limit", pytest.fail)
    error: Any = MySQLdb.OperationalError(code, "whatever it says")
    name_too_large(error, 2**24, {})
    assert error.args == (code, "whatever it says")
