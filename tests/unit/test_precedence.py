"""Those who have begun go first, and what nobody works with is called back."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import Gone, Permit, Refused, State
from tests.gates import (
    LONG,
    PATIENCE,
    Clock,
    hold,
    ignore,
    queue,
    refusal,
    start,
)
from tests.harness.processes import poll


def begun(*, bounded: bool = False) -> Permit:
    permit = Permit()
    permit.begun = True
    permit.bounded = bounded
    return permit


def enter(gate: Gate, permit: Permit, timeout: float = LONG) -> Permit:
    assert not gate.enter(permit, timeout, ignore)
    return permit


def test_those_who_have_begun_are_served_first_and_in_order() -> None:
    gate = Gate(1, clock=Clock())
    holder = hold(gate)
    newcomer, first, second = queue(gate), enter(gate, begun()), enter(gate, begun())
    order = []
    for _ in range(3):
        gate.release(holder)
        (holder,) = gate.held()
        order.append(holder)
    assert order == [first, second, newcomer]


def test_one_who_has_begun_overtakes_newcomers_even_when_a_permit_is_free() -> None:
    gate = Gate(2, clock=Clock())
    first, _ = hold(gate), hold(gate)
    newcomer, late = queue(gate), begun()
    # Both are freed before anybody is served.
    gate.lock.acquire()
    gate.release(first)
    gate.lock.release()
    assert gate.enter(late, LONG, ignore)
    assert newcomer.state is State.WAITING


def test_one_who_has_begun_is_not_shed_and_no_sign_of_overload() -> None:
    clock = Clock()
    gate = Gate(1, queue_target=1.0, queue_interval=5.0, clock=clock)
    holder = hold(gate)
    waiters = [enter(gate, begun()) for _ in range(4)]
    clock.now += 60
    for waiter in waiters:
        gate.review(waiter)
        assert waiter.state is State.WAITING
    assert not gate.overloaded
    gate.release(holder)
    assert waiters[0].state is State.ADMITTED


def test_newcomers_are_shed_while_those_who_have_begun_wait() -> None:
    clock = Clock()
    gate = Gate(1, queue_target=1.0, queue_interval=5.0, clock=clock)
    hold(gate)
    newcomers = [queue(gate) for _ in range(3)]
    waiter = enter(gate, begun())
    clock.now += 60
    gate.review(newcomers[0])
    gate.review(waiter)
    assert newcomers[0].reason is Reason.OVERLOADED
    assert waiter.state is State.WAITING


@pytest.mark.parametrize("bounded", [True, False])
def test_a_full_line_refuses_whoever_is_bounded(bounded: bool) -> None:
    gate = Gate(1, max_waiting=1, clock=Clock())
    hold(gate)
    queue(gate)
    waiter = begun(bounded=bounded)
    if bounded:
        with pytest.raises(Refused):
            gate.enter(waiter, LONG, ignore)
        assert waiter.reason is Reason.QUEUE_FULL
    else:
        enter(gate, waiter)


def test_one_who_has_begun_is_refused_at_its_deadline() -> None:
    clock = Clock()
    gate = Gate(1, queue_target=1.0, clock=clock)
    hold(gate)
    waiter = enter(gate, begun(), timeout=5)
    assert gate.next_review(waiter) == clock.now + 5
    clock.now += 5
    gate.review(waiter)
    assert waiter.reason is Reason.TIMEOUT


def test_whoever_is_withdrawn_waits_no_more_and_takes_no_permit() -> None:
    gate = Gate(1, clock=Clock())
    holder = hold(gate)
    waiter = begun()
    waiting = start(lambda: gate.acquire(waiter, LONG))
    assert poll(lambda: waiter.state is State.WAITING)
    with gate.lock:
        assert gate.withdraw(waiter)
    gate.settle()
    waiting.result(PATIENCE)
    gate.release(holder)
    assert (gate.free, gate.waiting) == (1, 0)
    assert not gate.withdraw(waiter)


def test_one_who_is_withdrawn_before_it_comes_is_not_queued() -> None:
    gate = Gate(1, clock=Clock())
    waiter = begun()
    with gate.lock:
        assert gate.withdraw(waiter)

    def before_waiting() -> None:
        raise AssertionError("it has got something else, and waits for nothing")

    gate.acquire(waiter, LONG, before_waiting)
    assert (gate.free, gate.waiting) == (1, 0)


class Calls:
    """Calls back what the test has said, and looks again after a second."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.resting: list[Permit] = []
        self.looks = 0
        self.gate: Any = None

    def call_back(
        self, held: Iterable[Permit], waiters: Iterable[Permit], into: list[Permit]
    ) -> float:
        assert self.gate.lock.locked()
        self.looks += 1
        wanted = len(list(waiters))
        into.extend(self.resting[:wanted])
        del self.resting[:wanted]
        return self.clock.now + 1

    def hand_in(self, called: list[Permit]) -> None:
        assert not self.gate.lock.locked()
        while called:
            self.gate.release(called.pop())

    def in_vain(self, line: Iterable[Permit]) -> None:
        """Nobody is refused here."""


@pytest.fixture
def calls() -> Calls:
    clock = Clock()
    calls = Calls(clock)
    calls.gate = Gate(2, clock=clock, on_call=calls)
    return calls


def test_nobody_is_called_back_while_nobody_waits(calls: Calls) -> None:
    calls.resting = [hold(calls.gate), hold(calls.gate)]
    assert calls.looks == 0


def test_whoever_comes_gets_what_rests_at_once(calls: Calls) -> None:
    first, second = hold(calls.gate), hold(calls.gate)
    calls.resting = [first]
    newcomer = Permit()
    assert calls.gate.enter(newcomer, LONG, ignore)
    assert set(calls.gate.held()) == {second, newcomer}


def test_one_waiter_looks_and_for_all(calls: Calls) -> None:
    held = [hold(calls.gate), hold(calls.gate)]
    waiters = [queue(calls.gate) for _ in range(3)]
    assert calls.looks == 1
    reviews = [calls.gate.next_review(waiter) - calls.clock.now for waiter in waiters]
    assert reviews == [1, LONG, LONG]
    calls.resting = held
    calls.clock.now += 1
    calls.gate.review(waiters[0])
    assert [waiter.state for waiter in waiters] == [
        State.ADMITTED,
        State.ADMITTED,
        State.WAITING,
    ]
    assert calls.gate.next_review(waiters[2]) <= calls.clock.now + 1


def test_whoever_looks_lets_one_permit_more_be_held_when_it_is_time(
    calls: Calls,
) -> None:
    """Nobody else would: the others wait for what comes back."""
    gate, clock = calls.gate, calls.clock
    hold(gate)
    gate.limit, gate.raise_at = 1, clock.now + 0.5
    first, second = queue(gate), queue(gate)
    assert [gate.next_review(each) - clock.now for each in (first, second)] == [
        0.5,
        LONG,
    ]
    clock.now += 0.5
    gate.review(first)
    assert [first.state, second.state] == [State.ADMITTED, State.WAITING]
    assert gate.next_review(second) <= clock.now + 1


def test_one_who_waits_again_looks_as_well(calls: Calls) -> None:
    first, _ = hold(calls.gate), hold(calls.gate)
    calls.gate.limit = 1
    calls.gate.enter_again(first, ignore)
    assert calls.gate.next_review(first) <= calls.clock.now + 1


def test_one_whose_loop_is_closed_leaves_the_line_when_it_is_to_look(
    calls: Calls,
) -> None:
    gate = calls.gate
    for _ in range(2):
        hold(gate)
    watcher, gone, last = queue(gate), Permit(), queue(gate)

    def wake_nobody() -> None:
        raise Gone

    gate.enter(gone, LONG, wake_nobody)
    with gate.lock:
        assert gate.withdraw(watcher)
    gate.settle()
    assert gone.state is State.RETURNED
    assert gate.waiting == 1
    assert gate.next_review(last) <= calls.clock.now + 1


@pytest.mark.parametrize("comes_back", [False, True])
def test_who_waits_in_vain_may_be_served_just_before_it_is_refused(
    calls: Calls, comes_back: bool
) -> None:
    """No lock is held while it is looked for."""
    gate = calls.gate
    holders = [hold(gate), hold(gate)]

    def in_vain(line: Iterable[Permit]) -> Permit:
        (stalled,) = line
        calls.in_vain = lambda line: None  # type: ignore[method-assign]
        if comes_back:
            gate.release(holders[0])
        return stalled

    calls.in_vain = in_vain  # type: ignore[method-assign, assignment]
    waiter = begun()
    if comes_back:
        assert gate.enter(waiter, LONG, ignore)
        assert waiter.state is State.ADMITTED
    else:
        with pytest.raises(Refused):
            gate.enter(waiter, LONG, ignore)
        assert waiter.reason is Reason.STALLED
    assert gate.waiting == 0


def test_who_is_refused_at_once_looks_for_nobody(calls: Calls) -> None:
    """They come by thousands, and there may be many loans to look at."""
    gate = calls.gate = Gate(1, max_waiting=0, clock=calls.clock, on_call=calls)
    hold(gate)
    assert refusal(gate) is Reason.QUEUE_FULL
    assert calls.looks == 0


def test_when_another_leaves_nobody_is_woken_and_the_same_one_looks(
    calls: Calls,
) -> None:
    gate = calls.gate
    for _ in range(2):
        hold(gate)
    watcher, other, latest = queue(gate), queue(gate), Permit()
    woken = threading.Event()
    gate.enter(latest, LONG, woken.set)
    gate.release(other)
    assert not woken.is_set()
    reviews = [gate.next_review(one) - calls.clock.now for one in (watcher, latest)]
    assert reviews == [1, LONG]


def test_the_last_who_looks_and_has_got_something_else_is_told(calls: Calls) -> None:
    gate = calls.gate
    for _ in range(2):
        hold(gate)
    watcher, woken = Permit(), threading.Event()
    gate.enter(watcher, LONG, woken.set)
    with gate.lock:
        assert gate.withdraw(watcher)
    gate.settle()
    assert woken.is_set()


@pytest.mark.parametrize("how", ["granted", "refused", "gone"])
def test_when_the_one_who_looks_is_gone_the_latest_looks(
    calls: Calls, how: str
) -> None:
    gate = calls.gate
    holder, _ = hold(gate), hold(gate)
    watcher = Permit()
    gate.enter(watcher, 5, ignore)
    queue(gate)
    latest = Permit()
    woken = threading.Event()
    gate.enter(latest, LONG, woken.set)
    if how == "granted":
        gate.release(holder)
    elif how == "refused":
        calls.clock.now += 5
        gate.review(watcher)
    else:
        gate.release(watcher)
    assert woken.is_set()
    assert gate.next_review(latest) <= calls.clock.now + 1
