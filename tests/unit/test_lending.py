"""What lending a loan to one of its threads changes, and what may come in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.slot import padded
from pooled_db.driver.use import NO_THREAD
from pooled_db.pool import sharing
from pooled_db.pool.origin import describe, origin
from pooled_db.pool.permit import ADMITTED, LENT, READY, TAKING, State
from pooled_db.pool.turn import Turn
from tests.gates import LONG
from tests.harness.interrupts import Interrupted
from tests.turns import (
    BEFORE,
    FIRST,
    SECOND,
    THIRD,
    FakeConnection,
    TakesTurns,
    borrower,
    in_a_transaction,
    lent_to_the_first,
    made,
    queue_up,
)


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def loan(connection: FakeConnection) -> TakesTurns:
    return lent_to_the_first(connection)


# Who has it then.


@pytest.mark.parametrize("ready", [True, False])
def test_what_has_just_been_lent_is_kept_until_it_is_used(
    connection: FakeConnection, ready: bool
) -> None:
    loan = made(connection) if ready else lent_to_the_first(connection)
    assert loan.lend(in_a_transaction, SECOND)
    assert loan.in_atomic_block
    loan.borrower = borrower
    assert not loan.lend(borrower, THIRD)
    assert not loan.call_back()
    loan.unpin(SECOND)
    assert loan.lend(borrower, THIRD)


def test_from_who_is_just_about_to_use_it_nothing_is_taken_for_a_moment(
    loan: TakesTurns,
) -> None:
    users = []

    class Looked(FakeConnection):
        @property
        def is_at_rest(self) -> bool:  # type: ignore[override]
            users.append((loan.user, loan.borrower))
            return True

    connection: Any = Looked()
    loan.connection = connection
    loan.pins.add(FIRST)
    assert not loan.lend(borrower, SECOND)
    assert set(users) == {(FIRST, borrower)}


def test_who_is_just_about_to_use_it_may_have_it_again(loan: TakesTurns) -> None:
    loan.pins.add(FIRST)
    assert loan.lend(borrower, FIRST)
    assert (loan.user, loan.pins) == (FIRST, {FIRST})


def test_what_is_lent_to_no_wrapper_is_lent_as_well(connection: FakeConnection) -> None:
    loan = made(connection)
    assert loan.lend(None, FIRST)
    assert (loan.state, loan.user, loan.pins) == (LENT, FIRST, set())
    # Its user may leave something behind, and has forgotten nothing.
    assert (connection.is_clean, connection.forgotten) == (False, 0)


def test_what_is_ready_is_lent_though_its_server_has_gone_away(
    connection: FakeConnection,
) -> None:
    """Its user is told by the driver."""
    loan = made(connection)
    connection.is_at_rest = False
    assert loan.lend(None, FIRST)
    assert (loan.state, loan.user) == (LENT, FIRST)


def test_a_cursor_has_its_turn_and_its_wrapper_does_not_lose_it(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    turn = Turn(SECOND)
    assert loan.queue_up(turn)
    connection.is_at_rest = True
    connection.end_statement()
    assert (turn.granted, loan.user, loan.borrower) == (True, SECOND, borrower)
    assert loan.lend(borrower, THIRD)


def test_who_takes_turns_is_noted_once(loan: TakesTurns) -> None:
    for thread in (SECOND, FIRST, SECOND, FIRST):
        assert loan.lend(borrower, thread)
        loan.pins.clear()
    assert loan.threads == (FIRST, SECOND)


@pytest.mark.parametrize(("thread", "forgotten"), [(FIRST, 0), (SECOND, 1)])
def test_ones_own_last_statement_is_not_forgotten(
    loan: TakesTurns, connection: FakeConnection, thread: int, forgotten: int
) -> None:
    assert loan.lend(borrower, thread)
    assert connection.forgotten == forgotten


def test_a_block_is_nobody_elses_before_its_first_statement(loan: TakesTurns) -> None:
    loan.borrower = in_a_transaction
    assert not loan.lend(borrower, SECOND)
    assert (loan.user, loan.borrower) == (FIRST, in_a_transaction)


def test_the_session_may_be_changed_by_whoever_has_it_next(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_clean = True
    assert loan.lend(borrower, SECOND)
    assert not connection.is_clean


# Who waits for it.


def test_who_comes_while_it_rests_has_it_at_once(loan: TakesTurns) -> None:
    """It was at work when its thread looked, and no statement will end now."""
    assert queue_up(loan, SECOND).granted


def test_who_comes_while_another_connects_has_its_turn_after_it(
    connection: FakeConnection,
) -> None:
    loan = made(None)
    loan.state = TAKING
    turn = queue_up(loan, SECOND)
    loan.connection, loan.state = connection, READY  # type: ignore[assignment]
    assert loan.lend(borrower, FIRST)
    assert (turn.granted, loan.user, loan.state) == (False, FIRST, LENT)
    loan.pins.clear()
    connection.end_statement()
    assert (turn.granted, loan.user) == (True, SECOND)


def test_the_next_has_it_though_the_statement_before_ends_at_once(
    loan: TakesTurns, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the thread that has passed the turn on has come any further."""
    connection.is_at_rest = False
    second, third = queue_up(loan, SECOND), queue_up(loan, THIRD)
    gate = loan.pool.gate
    settle = gate.settle

    def make_a_statement() -> None:
        monkeypatch.setattr(gate, "settle", settle)
        assert (second.granted, third.granted) == (True, False)
        connection.is_at_rest = False
        loan.unpin(SECOND)
        connection.is_at_rest = True
        connection.end_statement()

    monkeypatch.setattr(gate, "settle", make_a_statement)
    connection.is_at_rest = True
    connection.end_statement()
    assert (third.granted, loan.user) == (True, THIRD)


# What comes in between.


def begins_a_statement(loan: TakesTurns) -> bool:
    # It looks whose turn it is after that.
    assert (loan.user, loan.borrower) == (NO_THREAD, None)
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


def test_what_ends_as_it_is_lent_is_nobodys(loan: TakesTurns) -> None:
    """Its connection may be another request's by then."""

    class Ending(FakeConnection):
        def forget_last_statement(self) -> None:
            loan.over = True
            loan.user, loan.borrower = NO_THREAD, None

    connection: Any = Ending()
    loan.connection = connection
    assert not loan.lend(borrower, SECOND)
    assert (loan.user, loan.borrower) == (NO_THREAD, None)


def test_what_is_over_is_shared_with_nobody(loan: TakesTurns) -> None:
    loan.over = True
    loan.share()
    assert loan.user is NO_THREAD


def test_who_waits_for_what_ends_is_told_so(
    loan: TakesTurns, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndsBeforeItCame(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            connection.is_at_rest = True
            loan.checkin()
            return super().wait(0)

    class TurnOfWhatEnds(Turn):
        __slots__ = ()

        def __init__(self, thread: int) -> None:
            super().__init__(thread)
            self.came = EndsBeforeItCame()

    monkeypatch.setattr(sharing, "Turn", TurnOfWhatEnds)
    loan.pool.timeout = LONG
    loan.threads = (FIRST, SECOND)
    connection.is_at_rest = False
    with pytest.raises(MySQLdb.InterfaceError, match="given back to its pool"):
        loan.take_turn(SECOND)
    assert not loan.line


def test_who_is_interrupted_as_it_waits_for_its_turn_waits_no_more(
    loan: TakesTurns, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert loan.line
            raise Interrupted

    monkeypatch.setattr("pooled_db.pool.turn.threading.Event", Interrupting)
    loan.threads = (FIRST, SECOND)
    connection.is_at_rest = False
    with pytest.raises(Interrupted):
        loan.take_turn(SECOND)
    assert not loan.line


@pytest.mark.parametrize("state", [LENT, READY])
def test_what_is_over_is_lent_to_nobody_nor_told_as_theirs(
    loan: TakesTurns, connection: FakeConnection, state: State
) -> None:
    """Its connection may be another request's by now."""
    loan.state = state
    loan.over = connection.is_clean = True
    assert not loan.lend(None, SECOND)
    assert (connection.is_clean, connection.forgotten) == (True, 0)
    assert not loan.lend(borrower, SECOND)
    assert loan.user is NO_THREAD or loan.user == FIRST
    assert connection.slot.text.tobytes() == BEFORE


@pytest.mark.parametrize("state", [ADMITTED, TAKING])
@pytest.mark.parametrize("connected", [False, True])
def test_what_another_thread_is_just_taking_is_lent_to_nobody(
    loan: TakesTurns, state: State, connected: bool
) -> None:
    loan.state = state
    if not connected:
        loan.connection = None
    assert not loan.lend(borrower, SECOND)
    assert loan.state is state


# What is told of it.


def test_who_took_it_is_told_and_not_who_uses_it_next(loan: TakesTurns) -> None:
    pool: Any = loan.pool
    pool.warns = True
    assert loan.lend(borrower, FIRST)
    loan.pins.clear()
    first = loan.origin
    assert loan.lend(borrower, SECOND)
    assert first is not None
    assert loan.origin is first


@pytest.mark.parametrize("warns", [False, True])
def test_where_it_was_taken_is_looked_for_only_if_that_is_logged(
    loan: TakesTurns, connection: FakeConnection, warns: bool
) -> None:
    pool: Any = loan.pool
    pool.warns = warns
    assert loan.lend(borrower, FIRST)
    assert (loan.origin is not None) is warns
    assert connection.slot.text.tobytes() == padded("GET /whose-it-is")


def test_where_it_was_taken_is_told_if_not_for_a_request(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    loan.requester, loan.origin = None, origin()
    assert loan.lend(borrower, FIRST)
    told = connection.slot.text.tobytes().rstrip(b"\0").decode()
    assert padded(told) == padded(f"taken {describe(loan.origin)}")
    assert __file__[:20] in told


def test_a_connection_that_nobody_can_see_is_lent_as_well(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.slot = None  # type: ignore[assignment]
    assert loan.lend(borrower, FIRST)
