"""Which thread of a request has its loan, and who of them is next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import MySQLdb
import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.driver.slot import SIZE, Slot, padded
from pooled_db.driver.use import NO_THREAD
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, LENT, READY, RETURNED, WAITING, Permit
from pooled_db.pool.pool import Pool
from pooled_db.pool.turn import Turn
from tests.gates import LONG, hold, ignore

FIRST, SECOND, THIRD = 11, 12, 13
BEFORE = padded("GET /whose-it-was")


class FakeConnection:
    """A connection as far as those look at it who take turns."""

    after_rest: Any = None
    is_clean = True
    is_at_rest = True
    is_being_read = False
    in_query = False
    cursors: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.slot = Slot(memoryview(bytearray(8 * SIZE)))
        self.slot.text[:] = BEFORE
        self.forgotten = 0

    def forget_last_statement(self) -> None:
        self.forgotten += 1

    def has_open_cursor(self, besides: int | None = None) -> bool:
        return any(thread != besides for thread in self.cursors)

    def end_statement(self) -> None:
        """Do what the driver's connection does when a statement has ended."""
        after_rest, self.after_rest = self.after_rest, None
        if after_rest is not None:
            after_rest()


class Request:
    receiving_since = None

    def label(self) -> str:
        return "GET /whose-it-is"


class Borrower:
    has_transaction = False

    def detach(self) -> None: ...


def borrower() -> Borrower:
    """Refer to the one that there is."""
    return Borrower()


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


class TakesTurns(Loan):
    """A loan of the threads of one request, that says what becomes of it."""

    discarded = 0

    def discard(self) -> None:
        self.discarded += 1


@pytest.fixture
def loan(connection: FakeConnection) -> TakesTurns:
    """One that the first thread has, and is not using."""
    request: Any = Request()
    pool = Pool("default", connect, pool_size=1, timeout=0.01)
    loan = TakesTurns(pool, lambda: request)
    loan.connection = connection  # type: ignore[assignment]
    loan.state = READY
    assert loan.lend(borrower, FIRST)
    loan.pins.clear()
    connection.slot.text[:] = BEFORE
    return loan


def queue_up(loan: Loan, thread: int, permit: Loan | None = None) -> Turn:
    turn = Turn(thread, borrower, permit)
    assert loan.queue_up(turn)
    return turn


# Whose turn it is.


def test_who_waits_has_it_when_the_work_is_over_and_not_only_the_statement(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    turn = queue_up(loan, SECOND)
    for _ in range(3):  # the statements of a transaction
        connection.end_statement()
        assert (turn.granted, loan.user) == (False, FIRST)
    connection.is_at_rest = True
    connection.end_statement()
    assert (turn.granted, loan.user) == (True, SECOND)
    assert turn.came.is_set()


def test_those_who_wait_have_it_in_order_of_arrival(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    turns = [queue_up(loan, thread) for thread in (SECOND, THIRD)]
    connection.is_at_rest = True
    users = []
    for _ in turns:
        connection.end_statement()
        users.append(loan.user)
        loan.pins.clear()
    assert users == [SECOND, THIRD]
    # What its predecessor's last statement left is nobody else's.
    assert connection.forgotten == 2


def ask_besides(loan: TakesTurns) -> tuple[Permit, Loan]:
    """Let another loan of the request wait at the gate, for what is held."""
    holder = hold(loan.pool.gate)
    besides = Loan(loan.pool, loan.requester)
    besides.begun = True
    assert not loan.pool.gate.enter(besides, LONG, ignore)
    return holder, besides


def test_who_has_got_another_meanwhile_has_no_turn(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    gate = loan.pool.gate
    holder, besides = ask_besides(loan)
    first, second = queue_up(loan, SECOND, besides), queue_up(loan, THIRD)
    gate.release(holder)
    connection.is_at_rest = True
    connection.end_statement()
    assert (first.granted, second.granted, loan.user) == (False, True, THIRD)
    gate.release(besides)


def test_who_has_its_turn_waits_at_the_gate_no_more(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    gate = loan.pool.gate
    holder, besides = ask_besides(loan)
    turn = queue_up(loan, SECOND, besides)
    assert besides.state is WAITING
    connection.is_at_rest = True
    connection.end_statement()
    assert (turn.granted, besides.state, gate.waiting) == (True, RETURNED, 0)
    gate.release(holder)


def test_a_loan_that_somebody_is_about_to_use_is_nobody_elses(
    loan: TakesTurns,
) -> None:
    loan.pins.add(FIRST)
    turn = queue_up(loan, SECOND)
    assert (turn.granted, loan.user) == (False, FIRST)
    loan.unpin(FIRST)
    assert (turn.granted, loan.user) == (True, SECOND)


def begins_a_statement(loan: TakesTurns) -> bool:
    return False


def is_just_pinned(loan: TakesTurns) -> bool:
    loan.pins.add(FIRST)
    return True


def just_ends(loan: TakesTurns) -> bool:
    loan.over = True
    return False


@pytest.mark.parametrize(
    ("meanwhile", "user"),
    [(begins_a_statement, FIRST), (is_just_pinned, FIRST), (just_ends, NO_THREAD)],
)
def test_what_its_user_goes_on_with_just_as_it_is_lent_stays_whose_it_is(
    loan: TakesTurns, meanwhile: Callable[[TakesTurns], bool], user: int
) -> None:
    class Looked(FakeConnection):
        looks = 0

        @property
        def is_at_rest(self) -> bool:  # type: ignore[override]
            self.looks += 1
            return self.looks == 1 or meanwhile(loan)

    connection: Any = Looked()
    loan.connection = connection
    assert not loan.lend(borrower, SECOND)
    assert (connection.looks, loan.user) == (2, user)
    assert loan.borrower is (None if loan.over else borrower)


def test_who_gives_up_its_turn_leaves_it_to_the_next(loan: TakesTurns) -> None:
    loan.pins.add(FIRST)
    second, third = queue_up(loan, SECOND), queue_up(loan, THIRD)
    loan.unpin(FIRST)
    assert (second.granted, third.granted) == (True, False)
    loan.leave_line(second)
    assert (third.granted, loan.user) == (True, THIRD)


def test_who_waits_in_vain_for_its_turn_is_told_so(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    loan.threads = (FIRST, SECOND)
    with pytest.raises(PoolTimeout):
        loan.take_turn(SECOND)
    assert not loan.line


def test_who_waits_in_vain_for_either_stands_in_no_line(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    pool: Any = loan.pool
    holder = hold(pool.gate)
    besides = Loan(pool, loan.requester)
    besides.begun = True
    with pytest.raises(PoolTimeout):
        pool.admit(besides, instead=loan)
    assert (len(loan.line), pool.gate.waiting) == (0, 0)
    pool.gate.release(holder)


# The end.


@pytest.mark.parametrize(
    ("called_back", "what"),
    [(False, "given back to its pool"), (True, "called back for others")],
)
def test_there_are_no_turns_when_it_is_over(
    loan: TakesTurns, called_back: bool, what: str
) -> None:
    loan.over, loan.called_back = True, called_back
    with pytest.raises(MySQLdb.InterfaceError, match=what):
        loan.take_turn(FIRST)
    assert (loan.discarded, len(loan.line)) == (1, 0)


def test_a_thread_that_never_had_it_has_no_turn(loan: TakesTurns) -> None:
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        loan.take_turn(SECOND)
    assert (loan.discarded, loan.user) == (0, FIRST)


def test_what_ends_in_a_statement_is_closed_once_its_answer_is_read(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.after_rest = loan._after_rest
    loan.over = True
    connection.is_being_read = True
    connection.end_statement()
    assert loan.discarded == 0
    connection.is_being_read = False
    connection.end_statement()
    assert loan.discarded == 1


@pytest.mark.parametrize("state", [LENT, READY])
def test_what_is_over_is_lent_to_nobody_nor_told_as_theirs(
    loan: TakesTurns, connection: FakeConnection, state: Any
) -> None:
    """Its connection may be another request's by now."""
    loan.state = state
    loan.over = True
    assert not loan.lend(borrower, SECOND)
    assert loan.user is NO_THREAD or loan.user == FIRST
    assert connection.slot.text.tobytes() == BEFORE


# What is taken back at rest.


def test_what_rests_is_called_back_once(loan: TakesTurns) -> None:
    assert loan.call_back()
    assert (loan.over, loan.called_back, loan.user) == (True, True, NO_THREAD)
    assert not loan.call_back()


def is_about_to_be_used(loan: TakesTurns, connection: FakeConnection) -> None:
    loan.pins.add(FIRST)


def is_at_work(loan: TakesTurns, connection: FakeConnection) -> None:
    connection.is_at_rest = False


def has_a_cursor(loan: TakesTurns, connection: FakeConnection) -> None:
    connection.cursors = (FIRST,)


@pytest.mark.parametrize("change", [is_about_to_be_used, is_at_work, has_a_cursor])
def test_what_somebody_may_go_on_with_stays_whose_it_is(
    loan: TakesTurns, connection: FakeConnection, change: Any
) -> None:
    change(loan, connection)
    assert not loan.call_back()
    assert (loan.over, loan.called_back) == (False, False)
    assert (loan.user, loan.borrower) == (FIRST, borrower)


# A thread that leaves it to the others.


def leaves(loan: TakesTurns, monkeypatch: pytest.MonkeyPatch, *cursors: int) -> bool:
    """Whether this thread has left it to those who have *cursors*."""
    connection: Any = loan.connection
    connection.cursors = cursors
    loan.user = threading.get_ident()
    loan.threads = (loan.user, SECOND)
    monkeypatch.setattr(loan.pool, "cleans", lambda connection: True)
    return loan.leave()


def test_a_thread_leaves_it_to_another_that_has_a_cursor(
    loan: TakesTurns, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.is_clean = True
    assert leaves(loan, monkeypatch, threading.get_ident(), SECOND)
    assert (loan.threads, loan.borrower, loan.over) == ((SECOND,), None, False)
    # Whoever of the others uses it next may leave something behind.
    assert not connection.is_clean


def test_it_ends_where_nobody_else_can_go_on(
    loan: TakesTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not leaves(loan, monkeypatch)
    assert not leaves(loan, monkeypatch, threading.get_ident())


def test_it_ends_where_it_cannot_be_left(
    loan: TakesTurns, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.in_query = True
    assert not leaves(loan, monkeypatch, SECOND)
    connection.in_query = False
    kept, loan.connection = loan.connection, None
    assert not loan.leave()
    loan.connection = kept
    loan.over = True
    assert not leaves(loan, monkeypatch, SECOND)


def test_what_has_no_connection_is_lent_to_nobody(loan: TakesTurns) -> None:
    """It is admitted only: another thread of its request is about to connect."""
    loan.state, loan.connection = ADMITTED, None
    assert not loan.lend(borrower, SECOND)
    assert loan.state is ADMITTED


# What is told of it.


@pytest.mark.parametrize("warns", [False, True])
def test_where_it_was_taken_is_looked_for_only_if_that_is_logged(
    loan: TakesTurns, connection: FakeConnection, warns: bool
) -> None:
    pool: Any = loan.pool
    pool.warns = warns
    assert loan.lend(borrower, FIRST)
    assert (loan.origin is not None) is warns
    assert connection.slot.text.tobytes() == padded("GET /whose-it-is")


def test_a_connection_that_nobody_can_see_is_lent_as_well(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.slot = None  # type: ignore[assignment]
    assert loan.lend(borrower, FIRST)
