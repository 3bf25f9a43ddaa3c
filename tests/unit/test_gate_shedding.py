"""A gate whose queue stands: who is shed, when that ends, and what it costs."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import Permit, State
from pooled_db.pool.shedding import Shedding
from tests.gates import LONG, Clock, hold, ignore, queue, refusal

TARGET = 1.0
INTERVAL = 10.0


def shedding_gate(clock: Clock) -> Gate:
    return Gate(1, queue_target=TARGET, queue_interval=INTERVAL, clock=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def review(gate: Gate, permits: list[Permit]) -> list[Reason | None]:
    for permit in permits:
        gate.review(permit)
    return [permit.reason for permit in permits]


def test_a_burst_shorter_than_the_interval_sheds_nobody(clock: Clock) -> None:
    gate = shedding_gate(clock)
    holder, waiters = hold(gate), [queue(gate) for _ in range(5)]
    for waiter in waiters:
        clock.now += INTERVAL / 5
        assert review(gate, waiters) == [None] * 5
        gate.release(holder)
        assert waiter.state is State.ADMITTED
        holder = waiter


def test_a_standing_queue_is_shed_down_to_one_waiter_for_each_permit(
    clock: Clock,
) -> None:
    gate = shedding_gate(clock)
    hold(gate)
    waiters = [queue(gate) for _ in range(3)]
    clock.now += TARGET + INTERVAL - 0.25
    assert review(gate, waiters) == [None] * 3
    before = gate.overloaded
    clock.now += 0.25
    assert (before, gate.overloaded) == (False, True)
    assert review(gate, waiters) == [Reason.OVERLOADED, Reason.OVERLOADED, None]
    clock.now += 100 * INTERVAL
    assert review(gate, waiters)[2] is None


def test_it_is_shed_down_to_one_waiter_for_each_permit_that_may_be_held_now(
    clock: Clock,
) -> None:
    gate = Gate(3, queue_target=TARGET, queue_interval=INTERVAL, clock=clock)
    hold(gate)
    gate.limit = 1
    gate.limit_changed()
    waiters = [queue(gate) for _ in range(3)]
    clock.now += TARGET + INTERVAL
    assert review(gate, waiters) == [Reason.OVERLOADED, Reason.OVERLOADED, None]


def test_a_queue_stands_where_all_are_served_late_though_soon(clock: Clock) -> None:
    gate = shedding_gate(clock)
    holder, line = hold(gate), [queue(gate)]
    for _ in range(11):
        line.append(queue(gate))
        clock.now += TARGET
        gate.release(holder)
        holder = line.pop(0)
        assert holder.state is State.ADMITTED
    # All have waited for twice the target since the second was served.
    clock.now += TARGET - 0.25
    before = gate.overloaded
    clock.now += 0.25
    assert (before, gate.overloaded) == (False, True)


def test_a_permit_that_comes_back_passes_by_those_who_waited_too_long(
    clock: Clock,
) -> None:
    gate = shedding_gate(clock)
    holder, waiters = hold(gate), [queue(gate) for _ in range(3)]
    clock.now += TARGET + INTERVAL
    gate.release(holder)
    assert [waiter.reason for waiter in waiters] == [Reason.OVERLOADED] * 2 + [None]
    assert waiters[2].state is State.ADMITTED


def test_nobody_is_shed_before_twice_the_target(clock: Clock) -> None:
    gate = shedding_gate(clock)
    hold(gate)
    waiters = [queue(gate) for _ in range(3)]
    clock.now += TARGET + INTERVAL
    waiters.append(queue(gate))
    clock.now += 2 * TARGET - 0.25
    assert review(gate, waiters[3:]) == [None]
    clock.now += 0.25
    assert review(gate, waiters[3:]) == [Reason.OVERLOADED]


def overload(gate: Gate, clock: Clock) -> list[Permit]:
    """Serve one each 0.45 s, first in time, then not; returns who is still there."""
    there = [hold(gate), queue(gate)]
    for arrivals in (*[1] * 200, 50, *[1] * 50):
        there += [queue(gate) for _ in range(arrivals)]
        if gate.overloaded:
            break
        clock.now += 0.45 * TARGET
        gate.release(there.pop(0))
    return [each for each in there if each.state in (State.ADMITTED, State.WAITING)]


def test_shedding_ends_when_somebody_is_served_within_the_target_but_soon_resumes(
    clock: Clock,
) -> None:
    gate = shedding_gate(clock)
    for permit in reversed(overload(gate, clock)):
        gate.release(permit)
    hold(gate)
    assert not gate.overloaded

    waiters = [queue(gate) for _ in range(3)]
    clock.now += TARGET + 2 * TARGET - 0.25
    assert review(gate, waiters) == [None] * 3
    clock.now += 0.25
    assert review(gate, waiters) == [Reason.OVERLOADED, Reason.OVERLOADED, None]


@pytest.mark.parametrize(("intervals", "is_shed"), [(15.5, True), (16.5, False)])
def test_an_overload_that_returns_within_16_intervals_is_recognised_sooner(
    clock: Clock, intervals: float, is_shed: bool
) -> None:
    """After its end, which is when somebody need not wait."""
    gate = shedding_gate(clock)
    for permit in reversed(overload(gate, clock)):
        gate.release(permit)
    gate.release(hold(gate))
    clock.now += intervals * INTERVAL

    hold(gate)
    waiters = [queue(gate) for _ in range(3)]
    clock.now += 3 * TARGET
    assert any(review(gate, waiters)) is is_shed


def test_an_overload_is_over_when_nobody_waits_not_when_the_line_is_short(
    clock: Clock,
) -> None:
    """A line that is shed is short, though as many come as before."""
    gate = shedding_gate(clock)
    holder, waiting = hold(gate), [queue(gate) for _ in range(8)]
    clock.now += TARGET + INTERVAL
    assert review(gate, waiting) == [Reason.OVERLOADED] * 7 + [None]

    second, third = queue(gate), queue(gate)
    clock.now += 0.4 * TARGET
    gate.release(holder)  # who is served has waited for less than the target
    assert second.state is State.ADMITTED
    assert gate.overloaded

    gate.release(second)
    assert third.state is State.ADMITTED
    queue(gate)
    assert not gate.overloaded


def test_a_newcomer_is_refused_at_once_if_those_before_it_will_take_too_long(
    clock: Clock,
) -> None:
    gate = shedding_gate(clock)
    overload(gate, clock)
    for _ in range(5 - gate.waiting):
        queue(gate)  # the fifth, one being served each 0.45 s, waits for 1.8 to 2.25 s
    assert refusal(gate) is Reason.OVERLOADED


def test_without_a_target_nobody_is_shed(clock: Clock) -> None:
    gate = Gate(1, clock=clock)
    hold(gate)
    waiters = [queue(gate) for _ in range(3)]
    clock.now += LONG / 2
    waiters.append(queue(gate))
    assert review(gate, waiters) == [None] * 4
    assert not gate.overloaded


def test_a_queue_that_was_empty_in_between_has_not_stood(clock: Clock) -> None:
    gate = shedding_gate(clock)
    holder, slow = hold(gate), queue(gate)
    clock.now += 2 * TARGET
    gate.release(holder)
    assert slow.state is State.ADMITTED

    clock.now += 10 * INTERVAL
    waiters = [queue(gate) for _ in range(3)]
    clock.now += 2 * TARGET
    assert review(gate, waiters) == [None] * 3


@pytest.mark.parametrize(("since_a_refusal", "stands"), [(0.9, True), (1.0, False)])
def test_an_overload_ends_when_one_is_served_soon_and_none_was_refused_lately(
    since_a_refusal: float, stands: bool
) -> None:
    """Within the target, and for twice the target."""
    shedding = Shedding(capacity=1, target=0.5, interval=1.0)
    shedding.served(0.6, 10.0)
    assert shedding.gives_up(12.0, 10.0, 5, 10.0)
    shedding.served(0.5, 12.0 + since_a_refusal)
    assert shedding.overloaded(12.0 + since_a_refusal, None) is stands


def test_a_time_in_which_nobody_waited_is_no_time_that_it_takes_to_serve_one() -> None:
    """Ten are served in a second, before and after the hours of the night."""
    refused = []
    for night in (0.0, 10_000.0):
        shedding = Shedding(capacity=1, target=0.5, interval=1.0)
        now = 0.0
        for _ in range(50):
            now += 0.1
            shedding.served(1.0, now)
        now += night
        shedding.begins(now)
        for _ in range(20):
            now += 0.1
            shedding.served(1.0, now)
        refused.append(
            [shedding.turns_away(now, waiting, now - 1.0) for waiting in (8, 11)]
        )
    assert refused == [[False, True]] * 2


def test_who_waits_again_is_not_shed_however_long_the_queue_stands(
    clock: Clock,
) -> None:
    """It has begun: its turn had come, and what it got was of no use."""
    gate, again = shedding_gate(clock), Permit()
    assert gate.enter(again, LONG, ignore)
    gate.limit = 0
    gate.enter_again(again, ignore)
    newcomers = [queue(gate) for _ in range(2)]
    clock.now += TARGET + 10 * INTERVAL
    assert gate.overloaded
    assert review(gate, [again, *newcomers]) == [None, Reason.OVERLOADED, None]
    assert gate.next_review(again) == again.deadline
    gate.limit = 1
    gate.settle()
    assert [again.state, newcomers[1].state] == [State.ADMITTED, State.WAITING]


class Compared(Permit):
    """A permit whose comparisons are Python's, so that they count as effort."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


def effort_of_a_review(waiting: int, intervals: int) -> int:
    """How many lines of Python it executes, when it has come to that many intervals."""
    clock = Clock()
    gate = shedding_gate(clock)
    hold(gate)
    permits = [Compared() for _ in range(waiting)]
    for permit in permits:
        gate.enter(permit, LONG, ignore)
    clock.now += 2 * TARGET + intervals * INTERVAL
    permit, lines = permits[waiting // 2], 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        gate.next_review(permit)
        gate.review(permit)
    finally:
        sys.settrace(previous)
    return lines


@pytest.mark.parametrize(("waiting", "intervals"), [(10_000, 1), (10, 10_000)])
def test_a_review_costs_the_same_however_many_wait_and_however_long(
    waiting: int, intervals: int
) -> None:
    assert effort_of_a_review(waiting, intervals) == effort_of_a_review(10, 1)


def test_a_burst_that_was_absorbed_makes_the_next_no_overload() -> None:
    """Only an overload that returns is recognised after twice the target."""
    shedding = Shedding(capacity=1, target=0.08, interval=1.0)
    shedding.served(0.5, 10.0)
    shedding.begins(10.2)
    shedding.served(0.5, 11.0)
    assert not shedding.overloaded(11.9, None)
    assert shedding.overloaded(12.0, None)
