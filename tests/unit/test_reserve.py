"""Permits that are kept for those who have begun, once they waited for each other."""

from __future__ import annotations

from typing import Any

import pytest

from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import ADMITTED, WAITING, Permit
from pooled_db.pool.reserve import KEPT_SECONDS, Reserve
from tests.gates import LONG, Clock


class Request:
    def __call__(self) -> None: ...


def enter(gate: Gate, requester: Any, *, begun: bool = False) -> Permit:
    permit = Permit()
    permit.requester = requester
    permit.begun = begun
    gate.enter(permit, LONG)
    return permit


def full(gate: Gate) -> list[Permit]:
    return [enter(gate, Request()) for _ in range(gate.capacity)]


@pytest.mark.parametrize(
    ("limit", "reserved"), [(0, 0), (1, 0), (2, 1), (3, 1), (8, 4)]
)
def test_one_permit_is_for_all_as_long_as_there_is_one(
    limit: int, reserved: int
) -> None:
    assert Reserve(0.5).of(limit) == reserved
    assert Reserve(0.99).of(limit) == max(0, limit - 1)


def test_a_permit_is_kept_for_those_who_have_begun() -> None:
    gate = Gate(3, clock=Clock())
    first, second, _ = full(gate)
    gate.keep_one()
    gate.release(first)
    newcomer = enter(gate, Request())
    assert newcomer.state is WAITING
    begun = enter(gate, second.requester, begun=True)
    assert begun.state is ADMITTED
    for permit in (begun, second):
        gate.release(permit)
    assert [newcomer.state] == [ADMITTED]


def test_what_is_kept_is_had_without_standing_in_line() -> None:
    gate = Gate(3, max_waiting=0, clock=Clock())
    first, second, _ = full(gate)
    gate.keep_one()
    gate.release(first)
    assert enter(gate, second.requester, begun=True).state is ADMITTED


@pytest.mark.parametrize(
    ("capacity", "stalls", "kept"),
    [(2, 1, 1), (2, 5, 1), (3, 5, 1), (10, 1, 1), (10, 2, 2), (10, 9, 5)],
)
def test_one_more_is_kept_each_time_but_no_more_than_half(
    capacity: int, stalls: int, kept: int
) -> None:
    gate = Gate(capacity, clock=Clock())
    full(gate)
    for _ in range(stalls):
        gate.keep_one()
    assert gate.reserved == kept


def test_no_more_is_kept_than_half_of_what_the_server_grants() -> None:
    gate = Gate(10, clock=Clock())
    full(gate)
    gate.limit = 4
    for _ in range(5):
        gate.keep_one()
    assert gate.reserved == 2


def test_none_is_kept_where_one_request_holds_them_all() -> None:
    """What it waits for is its own: keeping others out does not help it."""
    gate = Gate(3, clock=Clock())
    request = Request()
    for _ in range(3):
        enter(gate, request)
    gate.keep_one()
    assert gate.reserved == 0


def test_threads_outside_of_requests_are_not_one() -> None:
    gate = Gate(2, clock=Clock())
    for _ in range(2):
        enter(gate, None)
    gate.keep_one()
    assert gate.reserved == 1


def test_it_is_kept_beside_the_share_of_those_with_priority() -> None:
    gate = Gate(10, reserved_share=0.2, clock=Clock())
    full(gate)
    for kept in (1, 2):
        gate.keep_one()
        assert gate.reserved == 2 + kept


def test_newcomers_have_one_at_least() -> None:
    gate = Gate(2, reserved_share=0.9, clock=Clock())
    for _ in range(2):
        enter(gate, Request(), begun=True)
    gate.keep_one()
    assert gate.reserved == 1


def test_what_is_kept_follows_the_limit() -> None:
    gate = Gate(4, clock=Clock())
    full(gate)
    for _ in range(2):
        gate.keep_one()
    gate.limit = 1
    gate.limit_changed()
    assert gate.reserved == 0
    gate.limit = 4
    gate.limit_changed()
    assert gate.reserved == 2


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(KEPT_SECONDS - 0.01, WAITING), (KEPT_SECONDS, ADMITTED)],
)
def test_it_is_kept_for_a_minute_after_the_last_time(
    seconds: float, state: object
) -> None:
    clock = Clock()
    gate = Gate(2, clock=clock)
    first, _ = full(gate)
    gate.keep_one()
    clock.now += 30
    gate.keep_one()
    gate.release(first)
    clock.now += seconds
    assert enter(gate, Request()).state is state


def test_who_waits_has_it_when_that_is_over() -> None:
    clock = Clock()
    gate = Gate(2, clock=clock)
    first, _ = full(gate)
    gate.keep_one()
    gate.release(first)
    waiter = enter(gate, Request())
    clock.now += KEPT_SECONDS
    gate.review(waiter)
    assert waiter.state is ADMITTED


@pytest.mark.parametrize("max_waiting", [0, 1])
def test_who_comes_when_that_is_over_is_not_refused(max_waiting: int) -> None:
    """The line is full, and gets shorter by it; or nobody may stand in it at all."""
    clock = Clock()
    gate = Gate(2, max_waiting=max_waiting, clock=clock)
    first, _ = full(gate)
    gate.keep_one()
    gate.release(first)
    waiters = [enter(gate, Request()) for _ in range(max_waiting)]
    clock.now += KEPT_SECONDS
    newcomer = enter(gate, Request())
    assert [one.state for one in waiters] == [ADMITTED] * max_waiting
    assert newcomer.state is (WAITING if max_waiting else ADMITTED)
    assert gate.reserved == 0
