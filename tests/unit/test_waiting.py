"""Threads and tasks in a gate's line: how they leave it, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pytest

from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import ADMITTED, REFUSED, RETURNED, WAITING, Permit, State
from pooled_db.pool.task_waiting import TaskWaiting
from tests.gates import LONG, Clock, hold, queue
from tests.harness.interrupts import Interrupted
from tests.harness.interrupts import interrupt as interrupt_at
from tests.virtual_loop import VirtualLoop


class LookedAtGate(Gate):
    """Does something when somebody has begun to wait."""

    then: Callable[[Permit], None]

    def next_review(self, permit: Permit) -> float:
        self.then(permit)
        return super().next_review(permit)


def in_a_thread(gate: Gate, permit: Permit) -> None:
    hold(gate)
    gate.acquire(permit, LONG)


def in_a_task(gate: Gate, permit: Permit) -> None:
    hold(gate)
    asyncio.run(gate.acquire_async(permit, LONG))


def again(gate: Gate, permit: Permit) -> None:
    gate.acquire(permit, LONG)
    gate.limit = 0
    gate.acquire_again(permit)


WAYS = [in_a_thread, in_a_task, again]


def interrupt(*args: object) -> None:
    raise Interrupted


@pytest.mark.parametrize("wait", WAYS)
def test_who_is_interrupted_leaves_the_line(
    wait: Callable[[Gate, Permit], None],
) -> None:
    gate, permit = LookedAtGate(1), Permit()
    gate.then = interrupt
    with pytest.raises(Interrupted):
        wait(gate, permit)
    assert (permit.state, gate.waiting) == (RETURNED, 0)


def test_who_is_not_to_wait_after_all_leaves_the_line() -> None:
    """Nobody may be able to hand anything on, which is only seen from the line."""
    gate, permit = Gate(1), Permit()
    holder = hold(gate)
    with pytest.raises(Interrupted):
        gate.acquire(permit, LONG, before_waiting=interrupt)
    assert (permit.state, gate.waiting) == (RETURNED, 0)
    gate.release(holder)
    assert gate.free == 1


class LooksOut:
    """Counts the looks for what may be called back, and finds nothing."""

    looks = 0

    def call_back(self, *args: object) -> float:
        self.looks += 1
        return float("inf")

    def hand_in(self, called: list[Permit]) -> None: ...

    def in_vain(self, line: Iterable[Permit]) -> None: ...


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("leaves", ["served", "refused"])
def test_somebody_looks_out_wherever_an_interrupt_has_come(
    leaves: str, begun: bool
) -> None:
    """Until then it was the one who leaves."""
    for moment in range(1, 1_000):
        clock, looks_out, woken = Clock(), LooksOut(), list[bool]()
        gate = Gate(1, clock=clock, on_call=looks_out)
        holder, permit, other = hold(gate), Permit(), Permit()
        permit.begun = other.begun = begun
        assert not gate.enter(permit, 5.0)
        assert not gate.enter(other, LONG, partial(woken.append, True))
        action = partial(gate.release, holder)
        if leaves == "refused":
            clock.now += 5.0
            action = partial(gate.review, permit)
        was_there = interrupt_at(action, moment, "pooled_db.pool")
        # What the interrupted do.
        gate.release(holder if leaves == "served" else permit)

        assert woken, moment
        looks_out.looks = 0
        gate.review(other)
        assert looks_out.looks == 1, moment
        for one in (holder, permit, other):
            gate.release(one)
        hold(gate)
        queue(gate)
        assert looks_out.looks == 2, moment
        if not was_there:
            break
    assert 5 < moment < 999


@pytest.mark.parametrize(("seconds", "state"), [(0.0, RETURNED), (5.0, REFUSED)])
def test_the_last_in_line_is_told_that_it_waits_no_more(
    seconds: float, state: State
) -> None:
    """Nobody else is there to look out in its place."""
    clock, woken = Clock(), list[bool]()
    gate = Gate(1, clock=clock, on_call=LooksOut())
    holder, permit = hold(gate), Permit()
    assert not gate.enter(permit, 5.0, partial(woken.append, True))
    clock.now += seconds
    if state is RETURNED:
        with gate.lock:
            assert gate.withdraw(permit)
        gate.settle()
    else:
        gate.release(holder)
    assert (permit.state, woken) == (state, [True])


@pytest.fixture
def _no_garbage_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage_collector")
@pytest.mark.parametrize("wait", WAYS)
def test_who_has_waited_is_nothing_to_the_garbage_collector(
    wait: Callable[[Gate, Permit], None],
) -> None:
    """There are hundreds a second under overload."""
    gate, permit = LookedAtGate(1), Permit()

    def serve(waiter: Permit) -> None:
        gate.limit = 1
        for held in gate.held():
            gate.release(held)
        gate.settle()

    gate.then = serve
    wait(gate, permit)
    permit.wake()  # as somebody who is late with it
    assert permit.state is ADMITTED
    gate.release(permit)
    gone = weakref.ref(permit)
    del permit
    assert gone() is None


class Reviewed:
    """A gate that asks for a review after a second, and counts them."""

    reviews = 0

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock

    def next_review(self, permit: Permit) -> float:
        return self.clock() + 1.0

    def review(self, permit: Permit) -> None:
        self.reviews += 1


def test_a_task_that_is_woken_in_between_is_not_reviewed_oftener() -> None:
    loop = VirtualLoop()
    gate, permit = Reviewed(loop.time), Permit()
    permit.state = WAITING

    async def main() -> None:
        waiting = TaskWaiting(gate, permit, loop)
        answered = asyncio.create_task(waiting.until_answered())
        for _ in range(5):
            await asyncio.sleep(0)
            waiting.wake()
        await asyncio.sleep(3.5)
        permit.state = ADMITTED
        waiting.wake()
        await answered
        await asyncio.sleep(5.0)

    with contextlib.closing(loop):
        loop.run_until_complete(main())
    assert gate.reviews == 3
