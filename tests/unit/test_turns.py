"""Which thread of a request has its loan, and who of them is next."""

from __future__ import annotations

import threading
from typing import Any

import MySQLdb
import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.use import NO_THREAD
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, RETURNED, WAITING, Permit
from pooled_db.pool.turn import Turn
from tests.gates import LONG, hold, ignore
from tests.harness.interrupts import Interrupted
from tests.turns import (
    FIRST,
    SECOND,
    THIRD,
    FakeConnection,
    TakesTurns,
    borrower,
    in_a_transaction,
    lent_to_the_first,
    queue_up,
)


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def loan(connection: FakeConnection) -> TakesTurns:
    return lent_to_the_first(connection)


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


def test_whose_turn_it_is_is_told_of_what_becomes_of_it(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    queue_up(loan, SECOND, borrower=in_a_transaction)
    connection.is_at_rest = True
    connection.end_statement()
    assert loan.borrower is in_a_transaction
    assert (loan.user, loan.pins) == (SECOND, {SECOND})


def test_of_two_cursors_that_wait_only_one_has_its_turn(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    """They have no wrapper that they would be pinned for."""
    connection.is_at_rest = False
    turns = [Turn(SECOND), Turn(THIRD)]
    for turn in turns:
        assert loan.queue_up(turn)
    connection.is_at_rest = True
    connection.end_statement()
    assert ([turn.granted for turn in turns], loan.user) == ([True, False], SECOND)


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


def test_who_gives_up_its_turn_leaves_it_to_the_next(loan: TakesTurns) -> None:
    loan.pins.add(FIRST)
    second, third = queue_up(loan, SECOND), queue_up(loan, THIRD)
    loan.unpin(FIRST)
    assert (second.granted, third.granted) == (True, False)
    loan.leave_line(second)
    assert (third.granted, loan.user) == (True, THIRD)


def test_who_gives_up_a_second_connection_keeps_the_first(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    """It is in the middle of a statement, which asks the database itself."""
    loan.pins.add(FIRST)
    connection.is_at_rest = False
    loan.leave_line(queue_up(loan, FIRST))
    assert (loan.pins, len(loan.line)) == ({FIRST}, 0)


def test_who_has_used_it_before_has_its_turn_again(loan: TakesTurns) -> None:
    loan.threads = (FIRST, SECOND)
    loan.take_turn(SECOND)
    assert (loan.user, len(loan.line)) == (SECOND, 0)


def test_who_waits_in_vain_for_its_turn_is_told_so(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    loan.threads = (FIRST, SECOND)
    with pytest.raises(PoolTimeout):
        loan.take_turn(SECOND)
    assert not loan.line


@pytest.mark.parametrize("error", [PoolTimeout, Interrupted])
def test_who_waits_in_vain_for_either_stands_in_no_line(
    loan: TakesTurns,
    connection: FakeConnection,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    def interrupt(permit: Permit) -> float:
        raise Interrupted

    connection.is_at_rest = False
    pool: Any = loan.pool
    if error is Interrupted:
        monkeypatch.setattr(pool.gate, "next_review", interrupt)
    holder = hold(pool.gate)
    besides = Loan(pool, loan.requester)
    besides.begun = True
    with pytest.raises(error):
        pool.admit(besides, instead=loan)
    assert (len(loan.line), pool.gate.waiting) == (0, 0)
    pool.gate.release(holder)


def test_who_gets_another_first_has_that_one(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    connection.is_at_rest = False
    pool: Any = loan.pool
    besides = Loan(pool, loan.requester)
    besides.begun = True
    assert pool.admit(besides, instead=loan) is besides
    connection.is_at_rest = True
    connection.end_statement()
    assert (loan.user, len(loan.line), besides.state) == (FIRST, 0, ADMITTED)
    pool.gate.release(besides)


def nobody() -> None:
    """Refer to a borrower that is gone."""


def test_who_has_its_turn_first_takes_no_other(
    loan: TakesTurns, connection: FakeConnection
) -> None:
    pool: Any = loan.pool
    holder = hold(pool.gate)
    besides = Loan(pool, loan.requester)
    besides.begun, besides.borrower = True, nobody
    assert pool.admit(besides, instead=loan) is loan
    assert (loan.user, besides.state) == (threading.get_ident(), RETURNED)
    assert loan.borrower is nobody
    assert pool.gate.held() == [holder]
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
    with pytest.raises(MySQLdb.InterfaceError, match=what) as error:
        loan.take_turn(FIRST)
    assert error.value.args[0] == 0  # as the driver says of one that is closed
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


def leaves(
    loan: TakesTurns,
    monkeypatch: pytest.MonkeyPatch,
    *cursors: int,
    cleans: bool = True,
) -> bool:
    """Whether this thread has left it to those who have *cursors*."""
    connection: Any = loan.connection
    connection.cursors = cursors
    loan.user = threading.get_ident()
    loan.threads = (loan.user, SECOND)
    monkeypatch.setattr(loan.pool, "cleans", lambda connection: cleans)
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
    loan: TakesTurns, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not leaves(loan, monkeypatch)
    assert not leaves(loan, monkeypatch, threading.get_ident())
    # Who has left it before may have its cursor still, which is void.
    connection.cursors = (SECOND,)
    loan.threads = (threading.get_ident(),)
    assert not loan.leave()
    assert loan.borrower is borrower


def test_it_ends_where_what_was_done_with_it_cannot_be_undone(
    loan: TakesTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not leaves(loan, monkeypatch, SECOND, cleans=False)
    assert loan.borrower is borrower


def test_it_ends_where_it_cannot_be_left(
    loan: TakesTurns, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.in_query = True
    assert not leaves(loan, monkeypatch, SECOND)
    connection.in_query = False
    kept, loan.connection = loan.connection, None
    assert not loan.leave()
    loan.connection = kept
    loan.over = connection.is_clean = True
    assert not leaves(loan, monkeypatch, SECOND)
    assert connection.is_clean  # it may be another request's by now
