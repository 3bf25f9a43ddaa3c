"""What a finalizer gives back while the gate is locked is handed on by who locked it.

It waits for no lock, wherever the garbage collector runs it, and nobody else comes by.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db.driver.connection import Connection
from pooled_db.pool.gate import Gate
from pooled_db.pool.limit import Limit
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, LENT, WAITING, Permit
from pooled_db.pool.pool import Pool
from pooled_db.pool.turn import Turn
from tests.gates import LONG, hold, ignore, queue

HERE = 11


class Lock:
    """Does *finally_* once, before it is let go."""

    def __init__(self, finally_: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._finally: list[Callable[[], None]] = [finally_]
        self.acquire = self._lock.acquire
        self.locked = self._lock.locked

    def release(self) -> None:
        if self._finally:
            self._finally.pop()()
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


def comes(pool: Pool, loan: Loan) -> None:
    queue(pool.gate)


def comes_when_one_is_free(pool: Pool, loan: Loan) -> None:
    pool.gate.limit += 1
    begun = Permit()
    begun.begun = True
    for waiter in pool.gate._queue:
        pool.gate._queue.remove(waiter)
    assert pool.gate.enter(begun, LONG, ignore)


def waits_again(pool: Pool, loan: Loan) -> None:
    pool.gate.enter_again(next(iter(pool.gate.held())), ignore)


def looks_at_the_clock(pool: Pool, loan: Loan) -> None:
    pool.gate.review(next(iter(pool.gate._queue)))


def looks_for_what_rests(pool: Pool, loan: Loan) -> None:
    pool.gate._call_back()


def asks_whether_it_stands(pool: Pool, loan: Loan) -> None:
    assert not pool.gate.overloaded


def keeps_a_share(pool: Pool, loan: Loan) -> None:
    pool.gate.reserve(0.0)


def keeps_one(pool: Pool, loan: Loan) -> None:
    pool.gate.keep_one()


def opens_one(pool: Pool, loan: Loan) -> None:
    pool.gate.limit = 2
    Limit("default", pool.gate, lambda: 2).opened()


def leaves_room(pool: Pool, loan: Loan) -> None:
    Limit("default", pool.gate, lambda: 3).leave_room()


def fails_to_open_one(pool: Pool, loan: Loan) -> None:
    Limit("default", pool.gate, lambda: 3).failed(0.0, "it is full")


def takes(pool: Pool, loan: Loan) -> None:
    loan.state, loan.connection = ADMITTED, None
    with pytest.raises(AssertionError):
        pool.take(loan)


def lends(pool: Pool, loan: Loan) -> None:
    assert loan.lend(borrower, HERE)


def waits_for_a_turn(pool: Pool, loan: Loan) -> None:
    loan.queue_up(Turn(HERE))


def waits_for_no_turn(pool: Pool, loan: Loan) -> None:
    loan.leave_line(Turn(HERE))


def passes_a_turn_on(pool: Pool, loan: Loan) -> None:
    loan.pass_turn()


def borrower() -> None:
    """Refer to one that is gone."""


@pytest.mark.parametrize(
    "does",
    [
        *(comes, comes_when_one_is_free, waits_again, looks_at_the_clock),
        *(looks_for_what_rests, asks_whether_it_stands, keeps_a_share, keeps_one),
        *(opens_one, leaves_room, fails_to_open_one),
        *(takes, lends, waits_for_a_turn, waits_for_no_turn, passes_a_turn_on),
    ],
)
def test_whoever_has_locked_the_gate_hands_on_what_came_back_meanwhile(
    does: Callable[[Pool, Loan], None],
) -> None:
    pool = Pool("default", connect, pool_size=3)
    gate: Gate = pool.gate
    back, _ = hold(gate), hold(gate)
    loan = Loan(pool)
    loan.begun = True
    assert gate.enter(loan, LONG, ignore)
    connection: Any = SimpleNamespace(
        is_at_rest=True, rested=0.0, slot=None, forget_last_statement=lambda: None
    )
    loan.connection, loan.state = connection, LENT
    queue(gate)
    gate.lock = Lock(lambda: gate.release(back))  # type: ignore[assignment]

    does(pool, loan)

    assert back not in gate.held()
    assert not gate.returned


def test_who_waits_again_is_woken_when_another_thread_gives_its_permit_back() -> None:
    """Its request has ended: nobody else would tell it."""
    gate = Gate(1)
    permit = hold(gate)
    woken: list[bool] = []
    gate.limit = 0
    gate.enter_again(permit, lambda: woken.append(True))
    assert permit.state is WAITING
    gate.release(permit)
    assert woken == [True]
