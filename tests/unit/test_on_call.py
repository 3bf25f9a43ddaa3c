"""What is called back, and after how long a rest: 2 ms, and 0.2 s before its first use.

The times are those of docs/architecture.md.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db.pool.loan import Loan
from pooled_db.pool.on_call import OnCall
from pooled_db.pool.permit import ADMITTED, LENT, READY, WAITING, Permit, State
from tests.harness.interrupts import Interrupted

NOW = 1000.0


class FakeLoan:
    """A loan as far as it is judged here."""

    requester = None
    line = ()

    def __init__(
        self,
        rested: float | None,
        *,
        state: State = LENT,
        is_on_call: bool = True,
        receiving: float | None = None,
        has_cursor: bool = False,
    ) -> None:
        self.has_cursor = has_cursor
        self.state = state
        self.is_on_call = is_on_call
        self.may_be_missed = True
        self.receiving_since = None if receiving is None else NOW - receiving
        self._since = None if rested is None else NOW - rested

    def resting_since(self) -> float | None:
        return self._since

    def call_back(self) -> bool:
        return not self.has_cursor


class Waiter(FakeLoan):
    """One that waits, outside of requests or for one."""

    def __init__(self, requester: Any) -> None:
        super().__init__(None, state=WAITING)
        self.requester = requester


OUTSIDER, OF_REQUEST = Waiter(None), Waiter(object())


RESTS, WORKS = FakeLoan(9.0, is_on_call=False), FakeLoan(None)


@pytest.fixture(autouse=True)
def _fakes_are_loans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooled_db.pool.on_call.Loan", FakeLoan)


def called(*held: FakeLoan, waiters: int = 1) -> tuple[list[FakeLoan], float]:
    into: list[Any] = []
    given: Any = held
    again = OnCall(clock=lambda: NOW).call_back(given, [Permit()] * waiters, into)
    return into, again - NOW


@pytest.mark.parametrize(
    ("loan", "is_called"),
    [
        (FakeLoan(0.0021), True),
        (FakeLoan(0.0019), False),
        (FakeLoan(0.21, state=READY), True),
        (FakeLoan(0.19, state=READY), False),
        (FakeLoan(None), False),
        # It waits for its client, who is sending: what counts is for how long.
        (FakeLoan(5.0, receiving=0.0021), True),
        (FakeLoan(5.0, receiving=0.0019), False),
        (FakeLoan(5.0, state=READY, receiving=0.0021), True),
        (FakeLoan(0.0019, receiving=5.0), False),
    ],
)
def test_how_long_a_loan_rests_before_it_is_called_back(
    loan: FakeLoan, is_called: bool
) -> None:
    assert called(loan)[0] == ([loan] if is_called else [])


def test_the_one_that_has_rested_for_longest_is_called_first() -> None:
    short, long = FakeLoan(1.0), FakeLoan(2.0)
    assert called(short, long)[0] == [long]
    assert called(short, long, waiters=5)[0] == [long, short]


def test_one_that_cannot_be_called_back_keeps_none_of_the_others() -> None:
    """It has rested for longest, and somebody has a cursor on it."""
    kept, other = FakeLoan(9.0, has_cursor=True), FakeLoan(1.0)
    assert called(kept, other)[0] == [other]
    assert called(kept, other, FakeLoan(0.5))[0] == [other]
    # It may be at rest in a moment.
    assert called(kept)[1] == pytest.approx(0.002)


def test_those_who_have_rested_equally_long_are_all_called() -> None:
    first, second = FakeLoan(1.0), FakeLoan(1.0)
    assert called(first, second, waiters=2)[0] == [first, second]


def test_what_others_do_who_are_looked_at_first_keeps_nothing() -> None:
    in_turns, rests = InTurns(1.0), FakeLoan(1.0)
    assert called(FakeLoan(None), in_turns, rests)[0] == [rests]


def test_what_is_not_on_call_stays_while_somebody_works() -> None:
    assert called(FakeLoan(None), FakeLoan(9.0, is_on_call=False))[0] == []


@pytest.mark.parametrize(
    ("held", "waiters", "is_called"),
    [
        ([RESTS], [OUTSIDER], True),
        ([RESTS], [OF_REQUEST], False),
        ([RESTS], [OF_REQUEST, OUTSIDER], True),
        # Whoever works with one is about to give it back.
        ([RESTS, WORKS], [OUTSIDER], False),
        # And what is on call can be had in a moment.
        ([RESTS, FakeLoan(0.0019)], [OUTSIDER], False),
    ],
)
def test_when_all_rest_a_request_makes_way_for_who_may_be_its_own_thread(
    held: list[FakeLoan], waiters: list[Waiter], is_called: bool
) -> None:
    into: list[Any] = []
    given: Any = held
    waiting: Any = waiters
    OnCall(clock=lambda: NOW).call_back(given, waiting, into)
    assert into == ([RESTS] if is_called else [])


def test_when_all_rest_no_more_of_them_make_way_than_wait() -> None:
    longest, other = FakeLoan(9.0, is_on_call=False), FakeLoan(8.0, is_on_call=False)
    into: list[Any] = []
    given: Any = [other, longest]
    waiting: Any = [OUTSIDER]
    OnCall(clock=lambda: NOW).call_back(given, waiting, into)
    assert into == [longest]


class Failing:
    """A loan whose return is interrupted once."""

    def __init__(self, interrupts: int) -> None:
        self.interrupts = interrupts
        self.is_back = False

    def needs_io(self) -> bool:
        return False

    def checkin(self) -> None:
        if self.interrupts:
            self.interrupts -= 1
            raise Interrupted
        self.is_back = True


def test_all_that_was_called_back_goes_back_even_if_one_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pooled_db.pool.on_call.Loan", Failing)
    loans = [Failing(0), Failing(1), Failing(0)]
    called: Any = list(loans)
    with pytest.raises(Interrupted):
        OnCall().hand_in(called)
    assert [one.is_back for one in loans] == [True] * 3


def test_the_next_look_is_when_the_next_one_has_rested_for_long_enough() -> None:
    assert called(FakeLoan(0.001))[1] == pytest.approx(0.001)
    # 10 ms while nobody rests, or for longer than that.
    assert called(FakeLoan(None))[1] == pytest.approx(0.01)
    assert called(FakeLoan(0.1, state=READY))[1] == pytest.approx(0.01)


def test_the_next_look_is_for_the_first_of_those_that_will_have() -> None:
    soon, later = FakeLoan(0.0015), FakeLoan(0.0005)
    assert called(later, soon)[1] == pytest.approx(0.0005)


class InTurns(FakeLoan):
    """One that another thread of its request waits for."""

    line = (object(),)  # type: ignore[assignment]
    passed_on = 0

    def pass_turn_locked(self) -> None:
        self.passed_on += 1


@pytest.mark.parametrize(("rested", "passed_on"), [(0.0021, 1), (0.0019, 0)])
def test_a_turn_that_nobody_has_used_goes_to_the_next_of_the_request(
    rested: float, passed_on: int
) -> None:
    """Who waits at the gate has the others meanwhile."""
    in_turns, other = InTurns(rested), FakeLoan(1.0)
    assert called(in_turns, other, waiters=2)[0] == [other]
    assert in_turns.passed_on == passed_on


@pytest.mark.parametrize("has_borrower", [False, True])
@pytest.mark.parametrize("state", [ADMITTED, READY])
def test_what_a_request_has_not_used_yet_is_on_call_until_it_wants_to(
    state: State, has_borrower: bool
) -> None:
    pool: Any = SimpleNamespace(home=None, lends_by_transaction=False)
    loan = Loan(pool, lambda: None)
    loan.state = state
    loan.borrower = (lambda: None) if has_borrower else None
    assert loan.is_on_call == (not has_borrower)


@pytest.mark.parametrize("state", [ADMITTED, READY])
def test_what_is_just_taken_outside_of_requests_is_not_on_call(state: State) -> None:
    pool: Any = SimpleNamespace(home=None, lends_by_transaction=False)
    loan = Loan(pool)
    loan.state = state
    assert not loan.is_on_call
