"""The gate step by step: order, bounds, deadlines and shedding, in virtual time."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import FrameType
from typing import Any

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import Permit, Refused, State
from pooled_db.pool.thread_waiting import ThreadWaiting
from tests.harness.interrupts import Interrupted

LONG = 1_000_000.0
PATIENCE = 10.0  # real seconds after which a thread counts as stuck


class Clock:
    """Time that passes when the test says so, or a *step* with each reading."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 100.0
        self.step = step
        self.at_next_reading: Callable[[], object] | None = None

    def __call__(self) -> float:
        action, self.at_next_reading = self.at_next_reading, None
        if action is not None:
            action()
        self.now += self.step
        return self.now


class AnnouncingGate(Gate):
    """Says when somebody has begun to wait, so that others can act at that moment."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        super().__init__(capacity, clock=clock)
        self.begun = threading.Semaphore(0)

    def next_review(self, permit: Permit) -> float:
        self.begun.release()
        return super().next_review(permit)

    def await_begun(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE)


def start(function: Callable[[], Any]) -> Future[Any]:
    """Call *function* in a daemon thread, which a failing test can leave behind."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def ignore() -> None:
    """Be woken, and do nothing."""


def hold(gate: Gate) -> Permit:
    permit = Permit()
    assert gate.enter(permit, 0, ignore)
    return permit


def queue(gate: Gate, timeout: float = LONG) -> Permit:
    permit = Permit()
    assert not gate.enter(permit, timeout, ignore)
    return permit


def refusal(gate: Gate, timeout: float = LONG) -> Reason:
    with pytest.raises(Refused) as refused:
        gate.enter(Permit(), timeout, ignore)
    assert refused.value.waited == 0.0
    return refused.value.reason


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> AnnouncingGate:
    """A gate with one permit."""
    return AnnouncingGate(1, clock)


# Order.


def ask(gate: Gate, use: Callable[[], None]) -> None:
    permit = Permit()
    gate.acquire(permit, LONG)
    use()
    gate.release(permit)


async def ask_async(gate: Gate, use: Callable[[], None]) -> None:
    permit = Permit()
    await gate.acquire_async(permit, LONG)
    use()
    gate.release(permit)


def test_ten_thousand_threads_and_tasks_are_served_in_order_of_arrival(
    gate: AnnouncingGate,
) -> None:
    served: list[int] = []

    async def main() -> None:
        first = hold(gate)
        askers: list[asyncio.Future[None]] = []
        for number in range(10_000):
            use = partial(served.append, number)
            if number % 50:
                askers.append(asyncio.create_task(ask_async(gate, use)))
                await asyncio.sleep(0)
            else:
                askers.append(asyncio.wrap_future(start(partial(ask, gate, use))))
            gate.await_begun()
        assert gate.waiting == 10_000
        gate.release(first)
        await asyncio.wait_for(asyncio.gather(*askers), PATIENCE)

    asyncio.run(main())
    assert served == list(range(10_000))
    assert gate.free == 1


def test_threads_and_two_event_loops_share_a_gate_and_never_exceed_its_capacity(
    clock: Clock,
) -> None:
    gate = AnnouncingGate(3, clock)
    slots = threading.Semaphore(3)
    served: list[bool] = []

    def use() -> None:
        assert slots.acquire(blocking=False)
        served.append(True)
        slots.release()

    async def loop() -> None:
        await asyncio.gather(*(ask_async(gate, use) for _ in range(300)))

    held = [hold(gate) for _ in range(3)]
    askers = [start(lambda: asyncio.run(loop())) for _ in range(2)]
    askers += [start(partial(ask, gate, use)) for _ in range(50)]
    for _ in range(650):
        gate.await_begun()
    for permit in held:
        gate.release(permit)
    for asker in askers:
        asker.result(PATIENCE)
    assert (len(served), gate.free, gate.waiting) == (650, 3, 0)


def test_a_newcomer_does_not_overtake_while_a_permit_is_handed_on(gate: Gate) -> None:
    holder, first, newcomer = hold(gate), Permit(), Permit()
    granted: list[bool] = []
    gate.enter(first, LONG, lambda: granted.append(gate.enter(newcomer, 1, ignore)))

    start(lambda: gate.release(holder)).result(PATIENCE)
    assert granted == [False]
    assert (first.state, newcomer.state) == (State.ADMITTED, State.WAITING)


def test_whoever_comes_after_an_interrupted_release_completes_it(
    gate: Gate, clock: Clock
) -> None:
    def interrupt() -> None:
        raise Interrupted

    holder, first, newcomer = hold(gate), queue(gate), Permit()
    clock.at_next_reading = interrupt
    with pytest.raises(Interrupted):
        gate.release(holder)
    gate.enter(newcomer, 1, ignore)
    assert (first.state, newcomer.state) == (State.ADMITTED, State.WAITING)


def test_a_finalizer_may_release_while_the_gate_is_locked(
    gate: Gate, clock: Clock
) -> None:
    holder, first, newcomer = hold(gate), queue(gate), Permit()
    clock.at_next_reading = lambda: gate.release(holder)
    granted = start(lambda: gate.enter(newcomer, 1, ignore)).result(PATIENCE)
    assert not granted
    assert (first.state, newcomer.state) == (State.ADMITTED, State.WAITING)


# Bounds, deadlines and costs.


@pytest.mark.parametrize("timeout", [0, -1])
def test_without_time_a_busy_gate_refuses_at_once(gate: Gate, timeout: float) -> None:
    permit = Permit()
    assert gate.enter(permit, timeout, ignore)
    assert refusal(gate, timeout) is Reason.TIMEOUT
    assert (gate.free, gate.waiting) == (0, 0)


@pytest.mark.parametrize("max_waiting", [0, 2])
def test_no_more_than_max_waiting_queue(clock: Clock, max_waiting: int) -> None:
    gate = Gate(1, max_waiting=max_waiting, clock=clock)
    holder = hold(gate)
    for _ in range(max_waiting):
        queue(gate)
    assert refusal(gate) is Reason.QUEUE_FULL
    gate.release(holder)
    assert gate.enter(Permit(), 1, ignore) == (not max_waiting)
    assert refusal(gate) is Reason.QUEUE_FULL
    assert repr(gate) == f"<Gate: 0 of 1 free, {max_waiting} waiting>"


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


# Shedding.

TARGET = 1.0
INTERVAL = 10.0


def shedding_gate(clock: Clock) -> Gate:
    return Gate(1, queue_target=TARGET, queue_interval=INTERVAL, clock=clock)


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


def test_without_a_target_nobody_is_shed(gate: Gate, clock: Clock) -> None:
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


def test_two_threads_may_ring_for_one_waiter(gate: Gate) -> None:
    """Each has seen that it waits, and the second finds its bell rung."""
    waiting = ThreadWaiting(gate, Permit())

    class Bell:
        def locked(self) -> bool:
            return True

        def release(self) -> None:
            raise RuntimeError("release unlocked lock")

    waiting._bell = Bell()  # type: ignore[assignment]
    waiting.wake()
