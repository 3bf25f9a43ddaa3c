"""Threads that are left to refuse with, and time that has passed elsewhere."""

from __future__ import annotations

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.permit import REFUSED, WAITING, Permit, State
from tests.lines import Queue, state_of


def test_a_crowd_is_refused_once_it_is_no_burst() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0, crowd=2)
    assert [queue.ask(None).state for _ in range(3)] == [WAITING] * 3

    queue.clock.now = 0.3
    assert queue.ask(None).state is WAITING
    queue.clock.now = 0.41
    assert queue.ask(None).reason is Reason.OVERLOADED
    assert queue.ask(None, priority=True).state is WAITING


def test_one_fewer_is_no_sign_that_a_crowd_has_gone() -> None:
    queue = Queue(queue_target=0.08, queue_interval=10.0, crowd=2)
    waiters = [queue.ask(None) for _ in range(2)]
    queue.ask(None)
    queue.clock.now = 4.1
    assert queue.ask(None).reason is Reason.OVERLOADED

    queue.serve(waiters)
    waiters += [queue.ask(None) for _ in range(2)]
    assert [state_of(one) for one in waiters[1:]] == [WAITING, REFUSED, REFUSED]


def test_a_crowd_of_which_half_was_gone_in_between_has_not_stood() -> None:
    queue = Queue(queue_target=0.08, queue_interval=10.0, crowd=4)
    waiters = [queue.ask(None) for _ in range(5)]
    for _ in range(4):
        queue.serve(waiters)
    assert queue.ask(None).state is WAITING
    queue.clock.now = 4.1

    assert [queue.ask(None).state for _ in range(4)] == [WAITING] * 4


@pytest.mark.parametrize(("back_after", "state"), [(1.9, REFUSED), (2.1, WAITING)])
def test_a_crowd_that_comes_back_soon_is_no_burst(
    back_after: float, state: State
) -> None:
    queue = Queue(queue_interval=1.0, crowd=2)
    waiters = [queue.ask(None) for _ in range(3)]
    queue.clock.now = 0.41
    assert queue.ask(None).reason is Reason.OVERLOADED
    for _ in range(3):
        queue.serve(waiters)

    queue.clock.now += back_after
    assert [queue.ask(None).state for _ in range(3)] == [WAITING, WAITING, state]


def test_crowds_refused_for_an_earlier_overload_do_not_prolong_it() -> None:
    queue = Queue(queue_interval=1.0, crowd=2)
    waiters = [queue.ask(None) for _ in range(3)]
    queue.clock.now = 0.41
    assert queue.ask(None).reason is Reason.OVERLOADED

    third = []
    for queue.clock.now in (1.3, 2.2, 3.1):
        for _ in range(len([one for one in waiters if one.state is WAITING])):
            queue.serve(waiters)
        waiters = [queue.ask(None) for _ in range(3)]
        third.append(waiters[-1].state)
    assert third == [REFUSED, REFUSED, WAITING]


def test_a_crowd_soon_after_a_waiter_was_shed_is_no_burst() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0, crowd=4)
    served, shed = (queue.ask(None) for _ in range(2))
    queue.clock.now = 2.0
    queue.gate.review(shed)
    assert shed.reason is Reason.OVERLOADED
    queue.serve([served])

    queue.clock.now = 3.9
    assert [queue.ask(None).state for _ in range(5)] == [WAITING] * 4 + [REFUSED]


def test_a_crowd_soon_after_a_newcomer_was_turned_away_is_no_burst() -> None:
    queue = Queue(3, queue_target=0.08, queue_interval=1.0, crowd=4)
    waiters = [queue.ask(None) for _ in range(3)]
    for now in (10.0, 20.0):  # a pace at which one behind three waits for too long
        queue.clock.now = now
        queue.serve(waiters)
    waiters += [queue.ask(None) for _ in range(2)]
    assert queue.ask(None).reason is Reason.OVERLOADED
    for _ in range(3):
        queue.serve(waiters)

    queue.clock.now = 21.9
    assert [queue.ask(None).state for _ in range(5)] == [WAITING] * 4 + [REFUSED]


def test_a_requests_other_threads_and_those_of_none_are_no_crowd() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0, crowd=3)

    def request() -> None:
        """Be what they are for."""

    for requester in (request, request, request, None, None, None):
        thread = Permit()
        thread.begun = True
        thread.requester = requester
        assert not queue.gate.enter(thread, 60.0, lambda: None)
    queue.ask(None)
    queue.clock.now = 0.41
    assert queue.ask(None).state is WAITING


def test_in_a_crowd_the_last_of_the_longest_line_goes_for_another_client() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0, crowd=3)
    hammering = [queue.ask("a") for _ in range(3)]
    queue.ask("a")
    queue.clock.now = 0.41

    other = queue.ask("b")

    assert other.state is WAITING
    assert queue.ask("a").reason is Reason.OVERLOADED
    assert [state_of(one) for one in hammering] == [WAITING] * 3


def test_what_has_waited_elsewhere_counts() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0)
    first = [queue.ask(None) for _ in range(3)]
    queue.clock.now = 1.2  # the queue stands

    old = queue.ask(None, before=0.2)
    young = queue.ask(None)
    queue.gate.review(old)
    queue.gate.review(young)

    assert [one.state for one in first] == [WAITING] * 3
    assert old.reason is Reason.OVERLOADED
    assert young.state is WAITING


def test_no_overload_is_left_when_nobody_waits() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0)
    waiter = queue.ask(None)
    queue.clock.now = 1.2
    assert queue.gate.overloaded

    queue.serve([waiter])

    assert not queue.gate.overloaded


def test_a_waiter_looks_again_when_it_has_waited_for_twice_the_target() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0)
    waiter = queue.ask(None)

    assert queue.gate.next_review(waiter) == pytest.approx(0.16)
    queue.clock.now = 0.2
    assert queue.gate.next_review(waiter) == pytest.approx(1.2)
    queue.clock.now = 59.5
    assert queue.gate.next_review(waiter) == pytest.approx(60.0)
