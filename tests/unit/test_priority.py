"""Those who go before others, and what is left to the others."""

from __future__ import annotations

import pytest

from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import ADMITTED, WAITING, Permit
from tests.lines import Queue, clients, state_of


def test_those_with_priority_go_before_others_but_for_one_in_four() -> None:
    queue = Queue()
    waiters = [queue.ask("a") for _ in range(4)]
    waiters += [queue.ask("p", priority=True) for _ in range(6)]

    served = [queue.serve(waiters) for _ in range(10)]

    assert clients(served) == "pppapppaaa"


def test_a_full_queue_drops_another_for_one_with_priority() -> None:
    queue = Queue(max_waiting=2)
    waiters = [queue.ask("a"), queue.ask("b")]

    assert queue.ask("c", priority=True).state is WAITING
    assert sorted(one.state.name for one in waiters) == ["REFUSED", "WAITING"]


def test_a_share_is_for_those_with_priority() -> None:
    gate = Gate(4, reserved_share=0.25)

    def enter(*, priority: bool = False, begun: bool = False) -> Permit:
        permit = Permit()
        permit.priority, permit.begun = priority, begun
        gate.enter(permit, 60.0)
        return permit

    others = [enter() for _ in range(4)]
    assert [one.state for one in others] == [ADMITTED] * 3 + [WAITING]

    first = enter(priority=True)
    assert first.state is ADMITTED
    gate.release(first)
    assert state_of(others[3]) is WAITING
    assert enter(begun=True).state is ADMITTED

    gate.release(others[0])
    assert state_of(others[3]) is WAITING  # three are held: the last is not for it
    gate.release(others[1])
    assert state_of(others[3]) is ADMITTED


def test_the_rest_gets_one_in_four_however_many_come_with_priority() -> None:
    """Though they have all connections, and the reserved share is never free."""
    queue = Queue(4, reserved_share=0.25)
    waiters = [queue.ask("a") for _ in range(3)]
    waiters += [queue.ask("p", priority=True) for _ in range(9)]

    served = [queue.serve(waiters) for _ in range(12)]

    assert clients(served) == "pppa" * 3


def test_those_with_priority_who_need_not_wait_leave_one_in_four_as_well() -> None:
    gate = Gate(4, reserved_share=0.25)

    def enter(*, priority: bool) -> Permit:
        permit = Permit()
        permit.priority = priority
        gate.enter(permit, 60.0)
        return permit

    held = [enter(priority=True) for _ in range(3)]
    waiting = enter(priority=False)
    for come in range(3):
        assert state_of(waiting) is WAITING, come
        # There are never fewer than three: what is not reserved is not free.
        held.append(enter(priority=True))
        gate.release(held.pop(0))

    assert state_of(waiting) is ADMITTED
    assert [state_of(one) for one in held] == [ADMITTED] * 3


def test_the_rest_never_takes_what_is_reserved() -> None:
    queue = Queue(4, reserved_share=0.25)
    for permit in queue.held[1:]:
        permit.begun = False  # three that came without priority
    queue.held.reverse()
    waiters = [queue.ask("a")] + [queue.ask("p", priority=True) for _ in range(8)]

    served = [queue.serve(waiters) for _ in range(8)]

    assert clients(served) == "p" * 8


@pytest.mark.parametrize(("capacity", "reserved"), [(1, 0), (3, 0), (4, 1), (10, 2)])
def test_a_share_is_rounded_down(capacity: int, reserved: int) -> None:
    assert Gate(capacity, reserved_share=0.25).reserved == reserved


def test_another_share_lets_those_in_who_wait_for_it() -> None:
    gate = Gate(2, reserved_share=0.5)
    permits = [Permit(), Permit()]
    for permit in permits:
        gate.enter(permit, 60.0)
    assert permits[1].state is WAITING

    gate.reserve(0.0)

    assert state_of(permits[1]) is ADMITTED
