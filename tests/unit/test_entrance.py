"""How long a loan waits for its permit, and what is said if it gets none."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.exceptions import Reason
from pooled_db.pool import stall
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, LENT
from pooled_db.pool.pool import Pool
from pooled_db.pool.stall import begin_waiting, end_waiting
from tests.gates import hold

Admit = Callable[[Pool, Loan, float], object]


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


def in_a_thread(pool: Pool, loan: Loan, age: float) -> None:
    pool.admit(loan, age)


def in_a_task(pool: Pool, loan: Loan, age: float) -> None:
    asyncio.run(pool.admit_async(loan, age))


ways = pytest.mark.parametrize("admit", [in_a_thread, in_a_task])


@ways
@pytest.mark.parametrize(("age", "counts"), [(0.25, 0.0), (0.75, 0.25), (3.0, 2.5)])
def test_what_a_request_has_waited_elsewhere_counts_but_for_half_a_second(
    admit: Admit, age: float, counts: float
) -> None:
    pool = Pool("default", connect, pool_size=1, timeout=5.0)
    loan = Loan(pool)
    admit(pool, loan, age)
    assert (loan.state, loan.waited_before) == (ADMITTED, counts)
    loan.checkin()


def test_who_says_nothing_of_its_age_has_waited_nowhere() -> None:
    pool = Pool("default", connect, pool_size=2, timeout=5.0)
    loans = [pool.admit(Loan(pool)), Loan(pool)]
    asyncio.run(pool.admit_async(loans[1]))
    for loan in loans:
        assert loan.deadline - loan.arrived == pytest.approx(5.0)
        assert loan.waited_before == 0.0
        loan.checkin()


@ways
def test_a_request_is_refused_when_it_has_waited_for_timeout_here_and_elsewhere(
    admit: Admit,
) -> None:
    pool = Pool("default", connect, pool_size=1, timeout=3.01)
    holder, loan = hold(pool.gate), Loan(pool)
    before = time.monotonic()
    with pytest.raises(PoolTimeout) as refused:
        admit(pool, loan, 3.0)
    waited = time.monotonic() - before
    assert loan.deadline - loan.arrived - loan.waited_before == pytest.approx(0.01)
    assert 3.01 - 1e-6 <= refused.value.waited <= 3.0 + waited
    pool.gate.release(holder)


@ways
@pytest.mark.parametrize("age", [5.0, 60.0])
def test_a_request_that_is_too_old_is_refused_at_once_free_permit_or_not(
    admit: Admit, age: float
) -> None:
    pool = Pool("default", connect, pool_size=1, timeout=5.0)
    with pytest.raises(PoolTimeout) as refused:
        admit(pool, Loan(pool), age)
    assert (refused.value.reason, refused.value.waited) == (Reason.TIMEOUT, age)


def test_a_refusal_says_how_many_are_in_use_of_those_that_there_can_be() -> None:
    """Of 4 the server grants 3, and one of these comes back just now."""
    pool = Pool("shop", connect, pool_size=4, max_waiting=1)
    holders = [hold(pool.gate) for _ in range(2)]
    pool._connector.limit.granted = 3
    pool.gate.limit = 2
    waiting = Loan(pool)
    assert not pool.gate.enter(waiting, 60.0)
    with pytest.raises(PoolTimeout) as refused:
        pool.admit(Loan(pool))
    error = refused.value
    assert (error.alias, error.reason) == ("shop", Reason.QUEUE_FULL)
    assert (error.in_use, error.limit, error.waiting) == (2, 3, 1)
    for permit in (waiting, *holders):
        pool.gate.release(permit)


def test_who_have_asked_have_one_or_wait_or_were_refused() -> None:
    pool = Pool("default", connect, pool_size=2, max_waiting=1)
    asked = [(pool.asked, pool.checkouts)]
    holders = [pool.admit(Loan(pool)), pool.admit(Loan(pool))]
    for loan in holders:
        pool.numbers.lent(loan.waited, 0.0, None)
    waiting = Loan(pool)
    waits = [pool.gate.enter(waiting, 60.0)]
    asked.append((pool.asked, pool.checkouts))
    for _ in range(3):
        with pytest.raises(PoolTimeout):
            pool.admit(Loan(pool))
    asked.append((pool.asked, pool.checkouts))
    assert (waits, asked) == ([False], [(0, 0), (3, 2), (6, 2)])
    for loan in (waiting, *holders):
        loan.checkin()


def test_a_refusal_is_an_occasion_to_see_what_lasts_for_too_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where all hold theirs for ever, nobody else passes by."""
    pool = Pool("default", connect, pool_size=1, max_waiting=0, warn_after=5.0)
    holder = Loan(pool)
    hold_permit(pool, holder)
    connection: Any = SimpleNamespace(is_at_rest=False)
    holder.connection, holder.since = connection, time.monotonic() - 60.0
    for _ in range(2):
        with pytest.raises(PoolTimeout):
            pool.admit(Loan(pool))
    assert caplog.text.count("held for longer than warn_after (5 s)") == 1
    assert "'default'" in caplog.text
    pool.gate.release(holder)


def test_who_has_waited_in_vain_waits_no_more() -> None:
    pool = Pool("default", connect, pool_size=1, timeout=0.01)
    holder, loan = hold(pool.gate), Loan(pool)
    loan.begun = True
    with pytest.raises(PoolTimeout) as refused:
        pool.admit(loan)
    assert refused.value.reason is Reason.TIMEOUT
    assert not stall._waiting
    pool.gate.release(holder)


def test_nobody_waits_where_all_who_hold_a_connection_wait() -> None:
    """And one is kept then for those who have begun, that they may go on."""
    pool = Pool("default", connect, pool_size=2, timeout=0.05)

    def hold_one() -> Loan:
        request: Any = object()
        loan = Loan(pool, lambda: request)
        hold_permit(pool, loan)
        return loan

    with ThreadPoolExecutor(1) as other:
        held = [hold_one(), other.submit(hold_one).result()]
        waiting = Loan(pool, held[1].requester)
        waiting.begun = True
        other.submit(begin_waiting, waiting).result()
        assert not pool.gate.enter(waiting, 60.0)
        wanted = Loan(pool, held[0].requester)
        wanted.begun = True
        with pytest.raises(PoolTimeout) as refused:
            pool.admit(wanted)
        other.submit(end_waiting, waiting).result()

    assert (refused.value.reason, refused.value.waited) == (Reason.STALLED, 0.0)
    assert pool.gate.reserved == 1
    for loan in (waiting, *held):
        pool.gate.release(loan)


def hold_permit(pool: Pool, loan: Loan) -> None:
    """Let this thread have *loan*, as if it had a connection."""
    loan.begun = True
    assert pool.gate.enter(loan, 0.0)
    loan.user = threading.get_ident()
    loan.state = LENT
