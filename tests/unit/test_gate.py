"""The gate step by step, in virtual time: order, bounds and deadlines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import Gone, Permit, State
from pooled_db.pool.thread_waiting import ThreadWaiting
from tests.gates import (
    LONG,
    PATIENCE,
    AnnouncingGate,
    Clock,
    hold,
    ignore,
    queue,
    refusal,
    start,
)
from tests.harness.interrupts import Interrupted


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


def permit_of(kind: str) -> Permit:
    permit = Permit()
    permit.begun, permit.priority = kind == "begun", kind == "priority"
    return permit


@pytest.mark.parametrize(
    ("waiting", "comes"),
    [
        ("newcomer", "newcomer"),
        ("priority", "newcomer"),
        ("priority", "priority"),
        ("begun", "newcomer"),
        ("begun", "priority"),
        ("begun", "begun"),
    ],
)
def test_whoever_comes_after_an_interrupted_release_completes_it(
    clock: Clock, waiting: str, comes: str
) -> None:
    gate = Gate(1, clock=clock)
    holder, first, newcomer = hold(gate), permit_of(waiting), permit_of(comes)
    gate.enter(first, LONG, ignore)
    interrupt_release(gate, clock, holder)
    gate.enter(newcomer, 1, ignore)
    assert (first.state, newcomer.state) == (State.ADMITTED, State.WAITING)


@pytest.mark.parametrize("waiting", ["priority", "begun"])
def test_whoever_passes_by_hands_on_what_is_reserved(
    clock: Clock, waiting: str
) -> None:
    gate = Gate(2, reserved_share=0.5, clock=clock)
    holder, first = hold(gate), permit_of(waiting)
    assert gate.enter(permit_of(waiting), LONG, ignore)
    gate.enter(first, LONG, ignore)
    interrupt_release(gate, clock, holder)
    gate.settle()
    assert first.state is State.ADMITTED


def interrupt_release(gate: Gate, clock: Clock, permit: Permit) -> None:
    """Take *permit* back, and let an interrupt come before it is handed on."""

    def interrupt() -> None:
        raise Interrupted

    clock.at_next_reading = interrupt
    with pytest.raises(Interrupted):
        gate.release(permit)
    assert permit.state is State.RETURNED


def test_a_finalizer_may_release_while_the_gate_is_locked(
    gate: Gate, clock: Clock
) -> None:
    holder, first, newcomer = hold(gate), queue(gate), Permit()
    clock.at_next_reading = lambda: gate.release(holder)
    granted = start(lambda: gate.enter(newcomer, 1, ignore)).result(PATIENCE)
    assert not granted
    assert (first.state, newcomer.state) == (State.ADMITTED, State.WAITING)


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


@pytest.mark.parametrize("seconds", [7.0, 0.5])
def test_who_waits_stands_still_until_the_time_of_the_next_review(
    gate: AnnouncingGate,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    holder, permit = hold(gate), queue(gate, timeout=seconds)
    waiting = ThreadWaiting(gate, permit)
    pauses: list[float] = []

    class Bell:
        def acquire(self, timeout: float) -> bool:
            pauses.append(timeout)
            clock.now += timeout
            return False

    waiting._bell = Bell()  # type: ignore[assignment]
    reviews = iter([permit.deadline])
    monkeypatch.setattr(gate, "next_review", lambda permit: next(reviews))
    waiting.until_answered()
    assert (pauses, permit.state) == ([seconds], State.REFUSED)
    gate.release(holder)


# Bounds, and deadlines.


@pytest.mark.parametrize("timeout", [0, -1])
def test_without_time_a_busy_gate_refuses_at_once(gate: Gate, timeout: float) -> None:
    permit = Permit()
    assert gate.enter(permit, timeout, ignore)
    assert refusal(gate, timeout) is Reason.TIMEOUT
    assert (gate.free, gate.waiting) == (0, 0)


def test_who_has_not_asked_yet_has_waited_for_no_time() -> None:
    permit = Permit()
    assert (permit.arrived, permit.deadline) == (0.0, 0.0)
    assert (permit.waited, permit.waited_before) == (0.0, 0.0)


@pytest.mark.parametrize("elsewhere", [0.0, 2.0])
def test_who_is_served_has_waited_since_it_came_and_elsewhere(
    gate: Gate, clock: Clock, elsewhere: float
) -> None:
    holder, waiter = hold(gate), Permit()
    waiter.waited_before = elsewhere
    assert not gate.enter(waiter, LONG, ignore)
    clock.now += 3.0
    gate.release(holder)
    assert (waiter.state, waiter.waited) == (State.ADMITTED, 3.0 + elsewhere)


def test_who_has_its_permit_is_not_refused_however_late_it_looks(
    gate: Gate, clock: Clock
) -> None:
    holder, waiter = hold(gate), queue(gate, timeout=1.0)
    gate.release(holder)
    clock.now += 60.0
    gate.review(waiter)
    assert (waiter.state, gate.held()) == (State.ADMITTED, [waiter])


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


@pytest.mark.parametrize("max_waiting", [0, 1])
def test_who_comes_when_one_permit_more_may_be_held_is_not_refused(
    clock: Clock, max_waiting: int
) -> None:
    """The line is full, and gets shorter by it; or nobody may stand in it at all."""
    gate = Gate(2, max_waiting=max_waiting, clock=clock)
    hold(gate)
    gate.limit, gate.raise_at = 1, clock.now + 1
    first = [queue(gate) for _ in range(max_waiting)]
    assert refusal(gate) is Reason.QUEUE_FULL
    clock.now += 1
    newcomer = Permit()
    assert gate.enter(newcomer, LONG, ignore) == (not first)
    assert newcomer in gate.held() or [one.state for one in first] == [State.ADMITTED]


def test_one_permit_more_is_tried_at_a_time(clock: Clock) -> None:
    gate = Gate(5, clock=clock)
    hold(gate)
    gate.limit, gate.raise_at = 1, clock.now
    assert gate.enter(Permit(), LONG, ignore)
    queue(gate)
    assert (gate.limit, gate.raise_at) == (2, float("inf"))


def test_those_who_wait_again_are_served_in_order_of_arrival(clock: Clock) -> None:
    gate = Gate(3, clock=clock)
    holder, *again = hold(gate), Permit(), Permit()
    for permit in again:
        assert gate.enter(permit, LONG, ignore)
        clock.now += 1
    gate.limit = 1
    for permit in again:
        gate.enter_again(permit, ignore)
    gate.release(holder)
    assert [permit.state for permit in again] == [State.ADMITTED, State.WAITING]


def test_one_who_waits_again_is_told_to_those_who_look(clock: Clock) -> None:
    told: list[tuple[int, float, bool]] = []
    gate = Gate(1, clock=clock, on_line=lambda *line: told.append(line))
    permit = hold(gate)
    clock.now += 1
    gate.limit = 0
    gate.enter_again(permit, ignore)
    assert told == [(1, permit.arrived, False)]
    gate.release(permit)
    assert told[1:] == [(0, 0.0, False)]


def test_nobody_asks_whose_it_is_that_has_begun(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when one permit more may be held: the project's own code would run."""
    asked: list[Permit] = []
    monkeypatch.setattr(Permit, "introduce", asked.append)
    gate = Gate(2, clock=clock)
    hold(gate)
    gate.limit, gate.raise_at = 1, clock.now
    another = Permit()
    another.begun, another.is_known = True, False
    assert gate.enter(another, LONG, ignore)
    assert not asked


@pytest.mark.parametrize("interrupt", [Interrupted, RecursionError])
def test_what_a_closed_loop_cannot_take_goes_to_the_next_after_an_interrupt(
    clock: Clock, interrupt: type[BaseException]
) -> None:
    """Who is told last is told by somebody who has nothing to give back."""
    gate = Gate(2, clock=clock)
    holders, first, gone, last = (hold(gate), hold(gate)), Permit(), Permit(), Permit()
    told: list[State] = []
    interrupts = [interrupt()]

    def wake() -> None:
        if interrupts:
            raise interrupts.pop()
        told.append(first.state)

    def wake_nobody() -> None:
        raise Gone

    gate.enter(first, LONG, wake)
    gate.enter(gone, LONG, wake_nobody)
    gate.enter(last, LONG, ignore)
    gate.returned.append(holders[0])
    with pytest.raises(interrupt):
        gate.release(holders[1])

    gate.settle()

    assert told == [State.ADMITTED]
    assert (gone.state, last.state) == (State.RETURNED, State.ADMITTED)
