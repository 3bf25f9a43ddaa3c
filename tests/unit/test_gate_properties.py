"""The gate whatever happens, and at whatever moment: interrupts, random sequences."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import signal
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings, stateful
from hypothesis import strategies as st

from pooled_db.exceptions import Reason
from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import Gone, Permit, Refused, State
from pooled_db.pool.task_waiting import TaskWaiting
from pooled_db.pool.thread_waiting import ThreadWaiting
from tests.gates import (
    LONG,
    PATIENCE,
    Clock,
    hold,
    queue,
    start,
)
from tests.harness.interrupts import Interrupted, interrupt

TIME = st.integers(0, 5)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=400)


class VirtualSelector(selectors.DefaultSelector):
    """Lets the clock jump instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.turns += 1
        assert timeout is not None, "everybody waits, and nobody will come"
        assert self.turns < 10_000, "somebody is busy waiting"
        ready = super().select(0)
        if not ready:
            self.clock.now += timeout
        return ready


def run(main: Coroutine[Any, Any, Any], clock: Clock) -> Any:
    """Run *main* in *clock*'s time; a callback that fails is a failure."""
    loop = asyncio.SelectorEventLoop(VirtualSelector(clock))
    loop.time = clock  # type: ignore[method-assign]
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    with contextlib.closing(loop):
        result = loop.run_until_complete(main)
    assert not failures
    return result


# Waiting threads and tasks, and what may interrupt them.


def test_a_thread_is_refused_at_its_deadline() -> None:
    clock = Clock(step=1 / 256)
    gate = Gate(1, clock=clock)
    hold(gate)
    with pytest.raises(Refused) as refused:
        start(lambda: gate.acquire(Permit(), 4 / 256)).result(PATIENCE)
    assert (refused.value.reason, gate.waiting) == (Reason.TIMEOUT, 0)
    assert 4 / 256 <= refused.value.waited <= 8 / 256


def test_a_task_is_refused_at_its_deadline_however_often_it_is_reviewed() -> None:
    clock = Clock()
    gate = Gate(1, queue_target=0.5, queue_interval=1.0, clock=clock)
    hold(gate)
    with pytest.raises(Refused) as refused:
        run(gate.acquire_async(Permit(), 5.5), clock)
    assert (refused.value.reason, refused.value.waited) == (Reason.TIMEOUT, 5.5)
    assert (gate.waiting, clock.now) == (0, 105.5)


def test_a_task_is_refused_at_its_deadline_though_a_review_has_failed() -> None:
    """Somebody else's connection could not be taken back, for instance."""

    class FailingAtFirst(Gate):
        failed = False

        def review(self, permit: Permit) -> None:
            if not self.failed:
                self.failed = True
                raise ValueError
            super().review(permit)

    clock = Clock()
    gate = FailingAtFirst(1, queue_target=0.5, clock=clock)
    hold(gate)
    loop = asyncio.SelectorEventLoop(VirtualSelector(clock))
    loop.time = clock  # type: ignore[method-assign]
    loop.set_exception_handler(lambda *_: None)
    with contextlib.closing(loop), pytest.raises(Refused) as refused:
        loop.run_until_complete(gate.acquire_async(Permit(), 5.0))
    assert (gate.failed, refused.value.waited) == (True, 5.0)


def test_a_waiting_task_blocks_no_thread_and_holds_no_lock() -> None:
    clock = Clock()
    gate = Gate(1, clock=clock)

    async def main() -> None:
        holder = hold(gate)
        task = asyncio.create_task(gate.acquire_async(Permit(), 60))
        await asyncio.sleep(30)
        start(lambda: gate.release(queue(gate))).result(PATIENCE)
        gate.release(holder)
        await task

    run(main(), clock)
    assert clock.now == 130


@pytest.mark.parametrize("way", ["cancelled", "collected"])
@pytest.mark.parametrize("moment", ["before", "after", "after, by another thread"])
def test_a_task_that_ends_around_its_grant_loses_no_permit(
    way: str, moment: str
) -> None:
    clock = Clock()
    gate = Gate(1, clock=clock)

    async def main() -> None:
        holder, permit = hold(gate), Permit()
        waiting = gate.acquire_async(permit, 60)
        task = asyncio.create_task(waiting) if way == "cancelled" else None
        if task is None:
            waiting.send(None)
        await asyncio.sleep(0)
        following = queue(gate)
        if moment == "after":
            gate.release(holder)
        elif moment != "before":
            start(lambda: gate.release(holder)).result(PATIENCE)
        assert permit.state is (State.WAITING if moment == "before" else State.ADMITTED)
        del waiting
        if task is not None:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gc.collect()
        gate.release(holder)
        assert (permit.state, following.state) == (State.RETURNED, State.ADMITTED)
        await asyncio.sleep(0)

    run(main(), clock)


@pytest.mark.parametrize("in_its_thread", [True, False])
@pytest.mark.parametrize("tasks", [1, 1_000])
def test_the_permits_of_a_closed_event_loop_go_to_the_next(
    tasks: int, in_its_thread: bool
) -> None:
    gate = Gate(1, clock=Clock())
    holder = hold(gate)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it complains of pending tasks
    asking = [gate.acquire_async(Permit(), LONG) for _ in range(tasks)]
    waiting = [loop.create_task(each) for each in asking]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    following = queue(gate)
    assert gate.waiting == tasks + 1
    if in_its_thread:
        gate.release(holder)
    else:
        start(lambda: gate.release(holder)).result(PATIENCE)
    assert (following.state, gate.waiting) == (State.ADMITTED, 0)
    del asking, waiting
    gc.collect()
    gate.release(following)
    assert gate.free == 1


def test_another_error_is_not_taken_for_a_closed_event_loop() -> None:
    """Its permit stays with the one who waits, whom the loop still runs."""

    class Failing(Gate):
        def next_review(self, permit: Permit) -> float:
            raise RuntimeError("of the gate's own")

    async def main() -> None:
        gate = Gate(1)
        holder, permit = hold(gate), Permit()
        waiting = TaskWaiting(Failing(1), permit, asyncio.get_running_loop())
        assert not gate.enter(permit, LONG, waiting.wake)
        with pytest.raises(RuntimeError, match="the gate's own"):
            waiting.wake()

        def fail() -> None:
            raise RuntimeError("of the waiter's own")

        permit.wake = fail
        with pytest.raises(RuntimeError, match="the waiter's own"):
            gate.release(holder)
        assert (permit.state, gate.free) == (State.ADMITTED, 0)
        gate.settle()  # nobody else is told of it

    asyncio.run(main())


def test_a_thread_interrupted_by_a_signal_while_it_waits_leaves_the_queue() -> None:
    gate, permit = Gate(1), Permit()
    hold(gate)

    def interrupt_once_it_waits(*_: object) -> None:
        if gate.waiting:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt_once_it_waits)
    # Again and again: a signal just before a thread blocks does not wake it.
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with pytest.raises(KeyboardInterrupt):
            gate.acquire(permit, LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert (permit.state, gate.waiting) == (State.RETURNED, 0)


class HandingGate(Gate):
    """Hands its permit to whoever begins to wait for it."""

    def next_review(self, permit: Permit) -> float:
        self.release(next(iter(self._held)))
        return super().next_review(permit)


class InterruptingGate(HandingGate):
    """Interrupts whoever has a permit and does not know it yet."""

    def next_review(self, permit: Permit) -> float:
        super().next_review(permit)
        assert permit.state is State.ADMITTED
        raise Interrupted


def test_a_thread_or_task_interrupted_at_its_grant_loses_no_permit() -> None:
    gate = InterruptingGate(1)
    hold(gate)
    with pytest.raises(Interrupted):
        gate.acquire(Permit(), LONG)
    hold(gate)
    with pytest.raises(Interrupted):
        run(gate.acquire_async(Permit(), LONG), Clock())
    assert (gate.free, gate.waiting) == (1, 0)


@pytest.mark.parametrize("operation", ["take", "wait", "release"])
def test_an_interrupt_at_any_moment_loses_no_permit(operation: str) -> None:
    for moment in range(1, 1_000):
        gate = HandingGate(2, clock=Clock(step=1 / 256))
        permits = [Permit()]
        action = partial(gate.acquire, permits[0], 1 / 16)
        if operation != "take":
            permits += [hold(gate), hold(gate)]
        if operation == "release":
            action = partial(gate.release, permits[1])
            permits += [queue(gate), queue(gate)]
            gate.returned.append(permits.pop(2))  # by who could not get the lock
        was_there = interrupt(action, moment, Gate.__module__)
        assert not gate.lock.locked(), moment
        for permit in permits:
            gate.release(permit)
        assert (gate.free, gate.waiting) == (2, 0), moment
        if not was_there:
            break
    assert 5 < moment < 999


@pytest.mark.parametrize("operation", ["release", "review"])
@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupt_at_any_moment_keeps_nobody_waiting(
    operation: str, begun: bool
) -> None:
    """Who is served is told, and the lines are in order."""
    for moment in range(1, 1_000):
        clock = Clock()
        gate = Gate(1, queue_target=1.0, clock=clock)
        holder = hold(gate)
        permits = [Permit(), Permit()]
        waiting = [ThreadWaiting(gate, permit) for permit in permits]
        for number, permit in enumerate(permits):
            permit.begun, permit.client = begun, number
            assert not gate.enter(permit, 5.0 + number, waiting[number].wake)
        action = partial(gate.release, holder)
        if operation == "review":
            clock.now += 5.0
            action = partial(gate.review, permits[0])
        was_there = interrupt(action, moment, "pooled_db.pool")
        # What the interrupted do; it would never end, were a line in disorder.
        ending = holder if operation == "release" else permits[0]
        start(partial(gate.release, ending)).result(PATIENCE)
        if operation == "release":
            assert permits[0].state is State.ADMITTED, moment
            assert waiting[0]._bell.acquire(blocking=False), moment
            start(partial(gate.release, permits[0])).result(PATIENCE)
        else:
            start(partial(gate.release, holder)).result(PATIENCE)
        assert permits[1].state is State.ADMITTED, moment
        assert waiting[1]._bell.acquire(blocking=False), moment
        start(partial(gate.release, permits[1])).result(PATIENCE)
        assert (gate.free, gate.waiting) == (1, 0), moment
        if not was_there:
            break
    assert 5 < moment < 999


# Random sequences.


class GateBesideAList(stateful.RuleBasedStateMachine):
    """The gate serves as a list does: whoever has waited longest is next."""

    @stateful.initialize(
        capacity=st.integers(1, 3),
        max_waiting=st.none() | st.integers(0, 5),
        queue_target=st.sampled_from([None, 0.5, 1.0]),
    )
    def open(self, capacity: int, **options: Any) -> None:
        self.clock = Clock()
        self.gate = Gate(capacity, queue_interval=3.0, clock=self.clock, **options)
        self.max_waiting = options["max_waiting"]
        self.queue_target = options["queue_target"]
        self.held: list[Permit] = []
        self.queue: list[Permit] = []
        self.gone: list[Permit] = [Permit()]
        self.on_closed_loops: set[Permit] = set()
        self.woken: list[Permit] = []

    def reason_to_refuse(self, permit: Permit) -> Reason | None:
        """Why *permit*, which is in the queue, has to be refused now."""
        target, waited = self.queue_target, self.clock.now - permit.arrived
        if self.clock.now >= permit.deadline:
            return Reason.TIMEOUT
        may_shed = target is not None and waited >= 2 * target
        if may_shed and len(self.queue) > self.gate.capacity:
            return permit.reason
        return None

    def serve(self) -> None:
        while self.queue and len(self.held) < self.gate.capacity:
            reason = self.reason_to_refuse(self.queue[0])
            permit = self.queue.pop(0)
            assert permit.reason is reason
            assert self.woken.pop(0) is permit
            lives = reason is None and permit not in self.on_closed_loops
            (self.held if lives else self.gone).append(permit)

    def pick(self, which: int) -> Permit:
        permits = self.held + self.queue + self.gone
        return permits[which % len(permits)]

    @stateful.rule(timeout=st.integers(0, 8), loop_is_closed=st.booleans())
    def arrive(self, timeout: int, loop_is_closed: bool) -> None:
        def wake() -> None:
            self.woken.append(permit)
            if loop_is_closed:
                raise Gone

        permit = Permit()
        if loop_is_closed:
            self.on_closed_loops.add(permit)
        busy = len(self.held) == self.gate.capacity
        full = len(self.queue) == self.max_waiting
        try:
            assert self.gate.enter(permit, timeout, wake) == (not busy)
        except Refused:
            may_shed = self.queue_target is not None and self.queue
            late = Reason.OVERLOADED if timeout and may_shed else Reason.TIMEOUT
            assert busy
            assert permit.reason is (Reason.QUEUE_FULL if full else late)
            self.gone.append(permit)
        else:
            assert not busy or (timeout and not full)
            (self.queue if busy else self.held).append(permit)

    @stateful.rule(which=st.integers(0, 9), seconds=st.sampled_from([0, 0.5, 1, 2]))
    def let_time_pass_and_review(self, which: int, seconds: float) -> None:
        permit = self.pick(which)
        self.clock.now += seconds
        self.gate.review(permit)
        if permit in self.queue:
            reason = self.reason_to_refuse(permit)
            assert permit.reason is reason
            if reason is not None:
                self.queue.remove(permit)
                self.gone.append(permit)

    @stateful.rule(which=st.integers(0, 9))
    def release_or_cancel_or_release_again(self, which: int) -> None:
        permit = self.pick(which)
        self.gate.release(permit)
        for permits in (self.held, self.queue, self.gone):
            if permit in permits:
                permits.remove(permit)
        self.gone.append(permit)
        self.serve()

    @stateful.invariant()
    def gate_and_list_agree(self) -> None:
        assert self.gate.free == self.gate.capacity - len(self.held) >= 0
        assert self.gate.waiting == len(self.queue)
        assert not (self.gate.free and self.queue)
        assert not self.woken
        assert {permit.state for permit in self.held} <= {State.ADMITTED}
        assert {permit.state for permit in self.queue} <= {State.WAITING}


TestGateBesideAList = GateBesideAList.TestCase
TestGateBesideAList.settings = EXHAUSTIVE


@given(
    askers=st.lists(st.tuples(TIME, TIME, TIME, st.none() | TIME), max_size=12),
    capacity=st.integers(1, 2),
    queue_target=st.sampled_from([None, 0.5]),
)
@EXHAUSTIVE
def test_tasks_cancelled_at_any_moment_lose_no_permit(
    askers: list[tuple[int, int, int, int | None]], capacity: int, queue_target: float
) -> None:
    clock = Clock()
    gate = Gate(capacity, queue_target=queue_target, queue_interval=2.0, clock=clock)

    async def ask(arrival: int, timeout: int, holding: int) -> None:
        permit = Permit()
        await asyncio.sleep(arrival)
        await gate.acquire_async(permit, timeout)
        try:
            await asyncio.sleep(holding)
        finally:
            gate.release(permit)

    async def main() -> list[object]:
        tasks = []
        for *asker, cancelled in askers:
            tasks.append(asyncio.create_task(ask(*asker)))
            if cancelled is not None:
                asyncio.get_running_loop().call_later(cancelled, tasks[-1].cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    for result in run(main(), clock):
        assert result is None or isinstance(result, (Refused, asyncio.CancelledError))
    assert (gate.free, gate.waiting) == (capacity, 0)
