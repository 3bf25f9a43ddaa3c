"""Who may use a connection, and when it counts as used: without a server."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import DriverConnection
from pooled_db.driver.cursor import taking_turns
from pooled_db.driver.guarded import NO_MORE_RESULTS, GuardedConnection
from pooled_db.driver.use import ANY_THREAD, NO_THREAD, OwnUse, given_back

HERE = threading.get_ident()
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


def test_whoever_will_never_have_a_turn_pins_nothing() -> None:
    ended: Any = OwnUse(NO_THREAD)
    with pytest.raises(MySQLdb.InterfaceError) as raised:
        GuardedConnection.begin_use(SimpleNamespace(loan=ended))  # type: ignore[arg-type]
    text = "This connection has been given back to its pool."
    assert raised.value.args == (0, text)
    assert ended.pins == set()


def test_so_does_who_makes_a_statement_without_a_cursor() -> None:
    lent: Any = Lent(ELSEWHERE)
    connection: Any = SimpleNamespace(loan=lent, slot=None)
    GuardedConnection._begin(connection)
    assert (lent.user, connection._busy) == (HERE, HERE)


def test_what_any_thread_may_use_is_nobodys_turn() -> None:
    lent: Any = OwnUse(ANY_THREAD)
    connection: Any = SimpleNamespace(loan=lent)
    used: Any = GuardedConnection.begin_use(connection)
    assert used is lent
    assert lent.user is ANY_THREAD


class Seen:
    """Somebody who is seen several times, and may be another each time."""

    def __init__(self, *seen: Any) -> None:
        self.seen = list(seen)

    def next(self) -> Any:
        return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]


class InUse:
    """A connection as a statement begins, whose loan or user may change then."""

    slot = None
    rested = 0

    def __init__(self, *loans: Any) -> None:
        self.loans = Seen(*loans)

    @property
    def loan(self) -> Any:
        return self.loans.next()

    def _rest(self) -> None:
        self.rested += 1


class Changing(OwnUse):
    """A use whose user changes while one looks."""

    def __init__(self, *users: int | None) -> None:
        self.users = Seen(*users)

    @property
    def user(self) -> int | None:  # type: ignore[override]
        return self.users.next()  # type: ignore[no-any-return]


@pytest.mark.parametrize("user", [HERE, ANY_THREAD], ids=["this thread", "any"])
@pytest.mark.parametrize("changes", ["loan", "user"])
def test_a_statement_that_begins_as_its_loan_ends_is_not_made(
    user: int | None, changes: str
) -> None:
    used: Any = OwnUse(user)
    connection: Any = InUse(used)
    GuardedConnection._begin(connection)
    assert (connection._busy, connection.rested) == (HERE, 0)

    if changes == "loan":
        connection = InUse(used, OwnUse(NO_THREAD))
    else:
        connection = InUse(Changing(user, NO_THREAD))
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        GuardedConnection._begin(connection)
    assert connection.rested == 1


@pytest.mark.parametrize(
    ("busy", "ends"),
    [
        ([None], True),
        ([HERE], True),
        ([ELSEWHERE], False),
        ([None, ELSEWHERE], False),
    ],
    ids=["nobody", "this thread", "another", "just now"],
)
def test_whoever_is_in_a_statement_as_its_loan_ends_is_seen(
    busy: list[int | None], ends: bool
) -> None:
    class Working:
        seen = Seen(*busy)
        _busy = property(lambda self: self.seen.next())

    connection: Any = Working()
    assert GuardedConnection.let_go(connection) is ends


def test_rows_are_of_one_loan() -> None:
    loan, other = OwnUse(HERE), OwnUse(HERE)
    connection: Any = SimpleNamespace(loan=loan)
    assert GuardedConnection.is_out_for(connection, loan)
    assert not GuardedConnection.is_out_for(connection, other)
    loan.user = NO_THREAD
    assert not GuardedConnection.is_out_for(connection, loan)


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

    def nextset(self) -> int | None:
        """Go on to the next."""
        return 1


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


def test_one_that_is_closed_is_for_the_driver_to_refuse() -> None:
    class Closed(Cursor):
        def execute(self, query: str) -> set[int]:
            raise MySQLdb.ProgrammingError("cursor closed")

    with pytest.raises(MySQLdb.ProgrammingError, match="cursor closed"):
        taking_turns(Closed)(None).execute("SELECT 1")


class OneByOne(Cursor):
    """One that makes its statements by its own method."""

    def executemany(self, query: str) -> set[int]:
        return self.execute(query) and super().executemany(query)


def test_a_statement_within_another_leaves_it_the_connection() -> None:
    lent = Lent(HERE)
    cursor = taking_turns(OneByOne)(InTurns(loan=lent))
    assert cursor.executemany("SELECT 1") == {HERE}
    assert lent.pins == set()


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
    assert cursor.nextset() == 1
    connection.is_out_of_step = True
    with pytest.raises(MySQLdb.ProgrammingError) as raised:
        cursor.nextset()
    assert raised.value.args[0] == 2014
    cursor.connection = None
    assert cursor.nextset() == 1
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

    def _begin_reading(self) -> None:
        GuardedConnection._begin_reading(self)  # type: ignore[arg-type]

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


@pytest.mark.parametrize(
    ("reads", "may_go_on", "done"),
    [
        (True, True, ["read", "rest"]),
        (True, False, ["begin", "read", "rest"]),
        (False, False, ["begin", "read", "rest"]),
    ],
)
def test_so_are_the_rows_of_a_cursor(
    monkeypatch: pytest.MonkeyPatch, reads: bool, may_go_on: bool, done: list[str]
) -> None:
    monkeypatch.setattr(
        DriverConnection, "store_result", lambda reading: reading.done.append("read")
    )
    here = threading.get_ident()
    connection: Any = Reading(here if reads else None, here if may_go_on else None)
    GuardedConnection.store_result(connection)
    assert connection.done == done


def test_who_may_not_read_an_answer_disturbs_nobody_in_a_statement() -> None:
    def begin() -> None:
        raise given_back()

    connection: Any = SimpleNamespace(_reader=ELSEWHERE, _busy=ELSEWHERE, _begin=begin)
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        GuardedConnection.store_result(connection)
    assert connection._busy == ELSEWHERE


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
