"""Threads and tasks in a gate's line: how they leave it, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import ADMITTED, RETURNED, WAITING, Permit
from pooled_db.pool.task_waiting import TaskWaiting
from tests.gates import LONG, hold
from tests.harness.interrupts import Interrupted
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
