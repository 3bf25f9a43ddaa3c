"""The life of a loan: since when it rests, who may take it back, and who ends it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db.driver.use import ANY_THREAD, NO_THREAD
from pooled_db.pool.loan import Loan
from pooled_db.pool.overdue import Overdue
from pooled_db.pool.permit import (
    ADMITTED,
    CLOSED,
    LENT,
    NEW,
    READY,
    REFUSED,
    RETURNED,
    TAKING,
    WAITING,
    State,
)
from tests.harness.interrupts import Interrupted

HERE = 11


class Pool:
    """What is left of one for its loans."""

    alias = "default"
    home = None
    lends_by_transaction = False

    def __init__(self) -> None:
        self.checked_in: list[bool] = []
        self.dropped = 0

    def check_in(self, loan: Loan, keep: bool) -> None:
        self.checked_in.append(keep)

    def drop(self, loan: Loan) -> None:
        self.dropped += 1


class Borrower:
    has_atomic_block = False

    def detach(self) -> None: ...


def borrower() -> Borrower:
    return Borrower()


@pytest.fixture
def pool() -> Any:
    return Pool()


@pytest.fixture
def loan(pool: Any) -> Loan:
    """One that this thread has, and that rests."""
    loan = Loan(pool)
    connection: Any = SimpleNamespace(
        is_at_rest=True,
        rested=105.0,
        in_query=False,
        uncommitted=False,
        let_go=lambda: True,
        has_open_cursor=lambda: False,
    )
    loan.connection, loan.state, loan.borrower, loan.user = (
        *(connection, LENT),
        *(borrower, HERE),
    )
    loan.arrived, loan.waited, loan.since = 100.0, 2.0, 103.0
    return loan


@pytest.mark.parametrize(
    ("state", "since"),
    [
        *((NEW, None), (WAITING, None), (TAKING, None)),
        *((ADMITTED, 102.0), (READY, 103.0), (LENT, 105.0)),
        *((REFUSED, None), (RETURNED, None), (CLOSED, None)),
    ],
)
def test_it_rests_since_somebody_could_have_worked_with_it(
    loan: Loan, state: State, since: float | None
) -> None:
    loan.state = state
    assert loan.resting_since() == since


def test_it_rests_no_longer_than_it_is_lent(loan: Loan) -> None:
    loan.since = 107.0
    assert loan.resting_since() == 107.0
    loan.connection.is_at_rest = False  # type: ignore[union-attr, misc]
    assert loan.resting_since() is None


@pytest.mark.parametrize(
    ("state", "may_be"),
    [
        *((NEW, False), (WAITING, False), (TAKING, False)),
        *((ADMITTED, True), (READY, True), (LENT, True)),
        *((REFUSED, False), (RETURNED, False), (CLOSED, False)),
    ],
)
def test_what_has_its_permit_and_is_not_being_opened_may_be_called_back(
    loan: Loan, state: State, may_be: bool
) -> None:
    loan.state = state
    assert loan.call_back() == may_be
    assert (loan.over, loan.called_back) == (may_be, may_be)


def test_it_is_out_while_it_has_a_connection_and_has_not_ended(loan: Loan) -> None:
    outs = [loan.is_out]
    loan.over = True
    outs.append(loan.is_out)
    loan.connection = None
    outs.append(loan.is_out)
    loan.over = False
    outs.append(loan.is_out)
    assert outs == [True, False, False, False]


@pytest.mark.parametrize(
    ("in_request", "by_transaction", "receiving", "is_on_call"),
    [
        (False, False, None, True),
        (True, False, None, False),
        (True, True, None, True),
        (True, False, 104.0, True),
    ],
)
def test_what_is_lent_is_on_call_if_whoever_has_it_can_take_another(
    loan: Loan,
    pool: Any,
    in_request: bool,
    by_transaction: bool,
    receiving: float | None,
    is_on_call: bool,
) -> None:
    request: Any = SimpleNamespace(receiving_since=receiving)
    loan.requester = (lambda: request) if in_request else None
    pool.lends_by_transaction = by_transaction
    assert loan.is_on_call == is_on_call

    loan.user = ANY_THREAD
    assert not loan.is_on_call
    loan.user, loan.borrower = HERE, None
    assert not loan.is_on_call


# The end.


@pytest.mark.parametrize(
    ("connected", "in_query", "is_changed", "needs_io"),
    [
        (True, False, True, True),
        (True, False, False, False),
        # Another thread is in a statement: nobody waits for it, it closes it itself.
        (True, True, True, False),
        (False, False, True, False),
    ],
)
def test_the_server_is_asked_only_to_clean_what_can_be_kept(
    loan: Loan,
    pool: Any,
    connected: bool,
    in_query: bool,
    is_changed: bool,
    needs_io: bool,
) -> None:
    pool.needs_cleaning = lambda connection: is_changed
    connection: Any = loan.connection
    connection.in_query = in_query
    if not connected:
        loan.connection = None
    assert loan.needs_io() is needs_io


@pytest.mark.parametrize(
    ("lets_go", "checked_in"),
    # The second look: the thread may have come out in between, and ends it no more.
    [([True], [True]), ([False, True], [True]), ([False, False], [])],
)
def test_what_another_thread_is_inside_of_ends_when_it_comes_out(
    loan: Loan, pool: Any, lets_go: list[bool], checked_in: list[bool]
) -> None:
    connection: Any = loan.connection
    connection.let_go = iter(lets_go).__next__
    connection.after_rest = None
    loan.checkin()
    assert pool.checked_in == checked_in
    connection.let_go = lambda: True
    if connection.after_rest is not None:
        connection.is_being_read = False
        connection.after_rest()
    assert len(pool.checked_in) == 1


def test_what_is_given_back_at_rest_is_nothing_to_who_had_it(loan: Loan) -> None:
    connection: Any = loan.connection
    connection.after_rest = None
    loan.checkin()
    assert connection.after_rest is None


def test_it_ends_once(loan: Loan, pool: Any) -> None:
    loan.checkin()
    loan.discard()
    assert (pool.checked_in, pool.dropped) == ([True], 0)
    assert (loan.over, loan.user, loan.borrower) == (True, NO_THREAD, None)


@pytest.mark.parametrize("state", [RETURNED, CLOSED])
def test_what_has_ended_does_not_touch_its_connection_again(
    loan: Loan, pool: Any, state: State
) -> None:
    """Another request may be in a statement on it by now."""
    connection: Any = loan.connection
    connection.let_go, connection.after_rest = (lambda: False), None
    loan.state = state
    loan.checkin()
    assert (pool.checked_in, connection.after_rest) == ([], None)


def test_who_waits_for_its_turn_learns_that_it_is_over(loan: Loan) -> None:
    woken: list[bool] = []
    turn: Any = SimpleNamespace(came=SimpleNamespace(set=lambda: woken.append(True)))
    loan.line = (turn,)  # type: ignore[assignment]
    loan.checkin()
    assert woken == [True]


class Enders(list[object]):
    """Is interrupted when somebody comes who would end it."""

    def __init__(self, *there: object, is_in: bool) -> None:
        super().__init__(there)
        self._is_in = is_in

    def append(self, ender: object) -> None:
        if self._is_in:
            super().append(ender)
        raise Interrupted


@pytest.mark.parametrize(
    ("enders", "dropped"),
    [
        # Whoever comes next ends it.
        (Enders(is_in=False), 0),
        # Nobody else will.
        (Enders(is_in=True), 1),
        # Another thread does.
        (Enders(object(), is_in=True), 0),
        (Enders(object(), is_in=False), 0),
    ],
)
def test_who_is_interrupted_closes_what_nobody_else_ends(
    loan: Loan, pool: Any, enders: Enders, dropped: int
) -> None:
    loan._enders = enders
    with pytest.raises(Interrupted):
        loan.checkin()
    assert (pool.checked_in, pool.dropped) == ([], dropped)


# What lasts for too long.


@pytest.mark.parametrize(("held", "is_told"), [(4.9, False), (5.0, False), (5.1, True)])
def test_what_lasts_for_longer_than_warn_after_is_told_once(
    loan: Loan, caplog: pytest.LogCaptureFixture, held: float, is_told: bool
) -> None:
    overdue = Overdue("default", 5.0, lambda: [loan])
    loan.since = 1000.0
    overdue.pass_by(1000.0 + held)
    overdue.pass_by(1000.0 + held + (60.0 if is_told else 0.0))
    assert len(caplog.records) == is_told
    assert loan.is_reported == is_told


def test_what_has_not_been_taken_yet_does_not_last(
    loan: Loan, caplog: pytest.LogCaptureFixture
) -> None:
    loan.since = 0.0
    Overdue("default", 5.0, lambda: [loan]).pass_by(1000.0)
    assert not caplog.records
