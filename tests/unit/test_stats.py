"""What a pool tells of the moment."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pooled_db import PoolStats, PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.exceptions import Reason
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, LENT
from pooled_db.pool.pool import Pool
from pooled_db.pool.stats import Histogram
from tests.clock import Clock
from tests.gates import ignore


class Borrower:
    has_atomic_block = False


class Session:
    rested = 0.0
    uncommitted = False

    def __init__(self, is_at_rest: bool) -> None:
        self.is_at_rest = is_at_rest

    def has_open_cursor(self) -> bool:
        """Keep it from being called back."""
        return True


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


def lend(pool: Pool, *, is_at_rest: bool, borrower: Borrower | None) -> Loan:
    """Lend a connection that is at rest since 0.0, or at work."""
    loan = pool.admit(Loan(pool))
    connection: Any = Session(is_at_rest)
    loan.connection, loan.state = connection, LENT
    loan.borrower = None if borrower is None else lambda: borrower  # type: ignore[assignment]
    entry: Any = None
    pool._store.open[connection] = entry
    return loan


def test_what_is_lent_idle_and_waited_for_is_told() -> None:
    pool = Pool("default", connect, pool_size=4, max_overflow=1, queue_target=0.08)
    clock = pool.gate.clock = Clock()
    at_work = [lend(pool, is_at_rest=False, borrower=Borrower()) for _ in range(2)]
    on_call = lend(pool, is_at_rest=True, borrower=Borrower())
    # Its borrower would not find out.
    resting = lend(pool, is_at_rest=True, borrower=None)
    for number in range(3):
        idle: Any = number
        pool._store.open[idle] = idle
    pool.gate.limit = 4
    waiting = [Loan(pool) for _ in range(2)]
    for loan in waiting:
        assert not pool.gate.enter(loan, 60.0, ignore)
        clock.now += 0.25
    pool._connector.limit.granted = 4

    seen = pool.stats()

    assert (seen.limit, seen.granted) == (5, 4)
    assert (seen.in_use, seen.at_work, seen.on_call, seen.idle) == (4, 2, 1, 3)
    assert (seen.waiting, seen.oldest_wait, seen.overloaded) == (2, 0.5, False)
    clock.now += 1.0
    assert pool.stats().overloaded
    for loan in waiting:
        pool.gate.release(loan)
    assert (pool.stats().waiting, pool.stats().oldest_wait) == (0, 0.0)
    for loan in (*at_work, on_call, resting):
        pool.gate.release(loan)


@pytest.mark.parametrize(
    ("options", "stands_after"),
    [
        ({}, None),
        ({"queue_target": 0.5}, 1.5),
        ({"queue_target": 0.5, "queue_interval": 3.0}, 3.5),
    ],
)
def test_how_long_a_queue_may_stand_is_the_pools_to_say(
    options: dict[str, float], stands_after: float | None
) -> None:
    pool = Pool("default", connect, pool_size=1, **options)  # type: ignore[arg-type]
    clock = pool.gate.clock = Clock()
    loans = [pool.admit(Loan(pool)), Loan(pool)]
    assert not pool.gate.enter(loans[1], 60.0, ignore)
    before = clock.now
    for clock.now in (before + 1.4, before + 1.5, before + 3.4, before + 3.5):
        stands = stands_after is not None and clock.now >= before + stands_after
        assert pool.stats().overloaded is stands
    for loan in loans:
        pool.gate.release(loan)


def test_how_many_are_kept_for_those_with_priority_is_the_pools_to_say() -> None:
    pool = Pool("default", connect, pool_size=8, reserved_share=0.25)
    assert pool.gate.reserved == 2


@pytest.mark.parametrize(("hold", "on_call"), [("request", 0), ("transaction", 1)])
def test_what_requests_do_not_work_with_is_on_call_if_they_hold_it_by_transaction(
    hold: str, on_call: int
) -> None:
    pool = Pool("default", connect, hold=hold)
    loan = lend(pool, is_at_rest=True, borrower=Borrower())
    loan.requester = lambda: None
    assert pool.stats().on_call == on_call
    pool.gate.release(loan)


def test_how_many_may_wait_is_the_pools_to_say() -> None:
    pool = Pool("default", connect, pool_size=1, max_waiting=1)
    loans = [pool.admit(Loan(pool)), Loan(pool)]
    assert not pool.gate.enter(loans[1], 60.0, ignore)
    with pytest.raises(PoolTimeout) as refused:
        pool.admit(Loan(pool))
    assert refused.value.reason is Reason.QUEUE_FULL
    for loan in loans:
        pool.gate.release(loan)


def test_where_what_is_lent_was_lost_no_less_than_none_is_idle() -> None:
    pool = Pool("default", connect)
    loan = lend(pool, is_at_rest=True, borrower=None)
    pool._store.open.clear()
    assert (pool.stats().in_use, pool.stats().idle) == (1, 0)
    pool.gate.release(loan)


def test_what_a_pool_tells_is_of_one_moment_and_each_number_has_its_name() -> None:
    stats: Any = PoolStats(limit=4)
    for told, name in ((stats, "limit"), (stats.waits, "sum")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(told, name, 5)
    with pytest.raises(TypeError):
        PoolStats(4)  # type: ignore[call-arg]


def test_what_never_happened_took_no_time_on_average() -> None:
    assert (Histogram().mean, Histogram((2, 1), 6.0).mean) == (0.0, 2.0)


def test_what_is_called_back_is_counted() -> None:
    pool = Pool("default", connect, pool_size=1)
    resting = lend(pool, is_at_rest=True, borrower=Borrower())
    connection: Any = resting.connection
    connection.has_open_cursor, connection.let_go = lambda: False, lambda: True
    waiting = Loan(pool)
    assert pool.gate.enter(waiting, 60.0, ignore)
    assert (waiting.state, pool.stats().called_back) == (ADMITTED, 1)
    pool.gate.release(waiting)
