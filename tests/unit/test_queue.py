"""Who waits in front of a gate: who may pass, who is next, and when it is a crowd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.permit import Permit
from pooled_db.pool.queue import Queue


def make(crowd: int | None = None, interval: float = 1.0) -> Queue:
    return Queue(4, max_waiting=None, target=0.08, interval=interval, crowd=crowd)


def permit(
    *, begun: bool = False, priority: bool = False, requester: Any = None
) -> Permit:
    made = Permit()
    made.begun, made.priority, made.requester = begun, priority, requester
    made.deadline = 1_000_000.0
    return made


def held(unprivileged: int, with_priority: int = 0) -> list[Permit]:
    return [
        *(permit() for _ in range(unprivileged)),
        *(permit(priority=True) for _ in range(with_priority)),
    ]


# Who is let in without waiting, where one of four permits is reserved.


@pytest.mark.parametrize(
    ("waiting", "newcomer", "there", "is_let_in"),
    [
        ([], permit(), held(2), True),
        ([], permit(), held(3), False),
        ([], permit(priority=True), held(3), True),
        ([permit()], permit(), held(2), False),
        ([permit()], permit(priority=True), held(2), True),
        ([permit(priority=True)], permit(), held(2), False),
        ([permit(priority=True)], permit(priority=True), held(2), False),
    ],
)
def test_nobody_passes_who_goes_before_it(
    waiting: Sequence[Permit], newcomer: Permit, there: list[Permit], is_let_in: bool
) -> None:
    queue = make()
    for one in waiting:
        queue.add(one)
    assert queue.lets_in(newcomer, there, 3) is is_let_in


def test_who_is_not_known_is_asked_first() -> None:
    """It may have priority."""
    stranger = permit()
    stranger.is_known = False
    assert not make().lets_in(stranger, held(2), 3)


@pytest.mark.parametrize(
    ("unprivileged", "let_in"),
    # What is reserved stays theirs, in whosever turn.
    [(2, [True] * 3 + [False]), (3, [True] * 4)],
)
def test_of_four_who_are_let_in_one_has_no_priority(
    unprivileged: int, let_in: list[bool]
) -> None:
    queue = make()
    queue.add(permit())
    there = held(unprivileged)
    assert [queue.lets_in(permit(priority=True), there, 3) for _ in range(4)] == let_in


# What is seen of it.


@pytest.mark.parametrize(
    "kinds", ["", "b", "p", "n", "bp", "bn", "pn", "bpn", "bbppnn"]
)
@pytest.mark.parametrize("now", [0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("has_stood", [False, True])
def test_what_is_told_at_a_glance_is_so(
    kinds: str, now: float, has_stood: bool
) -> None:
    """Whoever arrives at 0.0 has waited for *now*; the target is 0.08 s."""
    queue, arrived = make(), []
    if has_stood:
        assert queue.shedding is not None
        queue.shedding.served(1.0, -10.0)
    for number, kind in enumerate(kinds):
        one = permit(begun=kind == "b", priority=kind == "p")
        one.arrived = number * 0.001
        arrived.append(one.arrived)
        queue.add(one)
    stands = "n" in kinds and (has_stood or now == 2.0)
    seen = (len(kinds), min(arrived, default=0.0), stands)
    assert queue.at_a_glance(now) == seen
    assert (len(queue), queue.since, queue.overloaded(now)) == seen


@pytest.mark.parametrize(
    ("order", "latest"), [("bpn", 2), ("npb", 0), ("pnbp", 1), ("bpb", 1), ("bb", 1)]
)
def test_the_latest_of_those_who_are_served_last_is_here_for_longest(
    order: str, latest: int
) -> None:
    queue = make()
    permits = [permit(begun=kind == "b", priority=kind == "p") for kind in order]
    for one in permits:
        queue.add(one)
    assert queue.latest is permits[latest]


def test_where_nobody_waits_nobody_is_the_latest() -> None:
    assert make().latest is None


# Who is next.


def test_those_with_priority_are_served_in_a_row_where_nobody_else_waits() -> None:
    queue = make()
    waiting = [permit(priority=True) for _ in range(5)]
    for one in waiting:
        queue.add(one)
    for one in waiting:
        assert queue.next([], 4) is one
        queue.served(one, 0.0)


# Who waits again.


def test_who_waits_again_goes_before_all_and_in_order_of_arrival() -> None:
    queue = make()
    queue.add(permit(begun=True))
    again = [permit(begun=True) for _ in range(4)]
    for one, arrived in zip(again, (3.0, 1.0, 2.0, 2.0), strict=True):
        one.waits_again, one.arrived = True, arrived
        queue.add_first(one)
    expected = [again[1], again[2], again[3], again[0]]
    assert list(queue.begun)[:4] == expected
    assert queue.next([], 4) is again[1]


# What is full.


@pytest.mark.parametrize("late", [False, True])
def test_who_comes_to_a_full_line_is_told_that(
    late: bool,
) -> None:
    """Whether or not it is being shed, and any time is left."""
    queue = Queue(1, max_waiting=2, target=0.08, interval=1.0, crowd=2)
    assert queue.shedding is not None
    queue.add(permit())
    queue.add(permit())
    for now in (0.0, 5.0):
        queue.shedding.served(1.0, now)
    newcomer = permit()
    newcomer.deadline = 5.0 if late else 1_000_000.0
    assert queue.turns_away(newcomer, 5.0) == (newcomer, Reason.QUEUE_FULL)


def test_who_has_begun_takes_nobodys_place_in_a_full_line() -> None:
    queue = Queue(1, max_waiting=3, target=None, interval=1.0, crowd=None)
    for _ in range(3):
        queue.add(permit())
    begun = permit(begun=True)
    begun.client = begun
    assert queue.turns_away(begun, 0.0) == (begun, Reason.QUEUE_FULL)


# What is a crowd.


def stand(queue: Queue, number: int) -> list[Permit]:
    permits = [permit() for _ in range(number)]
    for one in permits:
        one.client = one
        queue.add(one)
    return permits


def is_refused(queue: Queue, now: float) -> bool:
    """Whether one who comes at *now* is too many."""
    newcomer = permit()
    newcomer.client = newcomer
    turned_away = queue.turns_away(newcomer, now)
    assert turned_away in (None, (newcomer, Reason.OVERLOADED))
    return turned_away is not None


@pytest.mark.parametrize(("interval", "longest"), [(1.0, 0.4), (2.0, 0.8)])
def test_a_crowd_is_no_burst_after_0_4_intervals(
    interval: float, longest: float
) -> None:
    queue = make(crowd=6, interval=interval)
    stand(queue, 6)
    assert not is_refused(queue, 0.0)
    assert not is_refused(queue, longest - 0.01)
    assert is_refused(queue, longest)


@pytest.mark.parametrize(("interval", "soon"), [(1.0, 2.0), (2.0, 4.0)])
def test_a_crowd_that_comes_within_2_intervals_is_no_burst(
    interval: float, soon: float
) -> None:
    refused = []
    for later in (soon - 0.01, soon):
        queue = make(crowd=6, interval=interval)
        permits = stand(queue, 6)
        is_refused(queue, 0.0)
        assert is_refused(queue, interval)
        for one in permits:
            queue.remove(one)
        is_refused(queue, interval + 0.001)
        stand(queue, 6)
        refused.append(is_refused(queue, interval + later))
    assert refused == [True, False]


@pytest.mark.parametrize("kind", ["begun", "priority"])
def test_a_crowd_turns_nobody_away_who_goes_before_it(kind: str) -> None:
    queue = make(crowd=6)
    stand(queue, 6)
    is_refused(queue, 0.0)
    assert is_refused(queue, 0.5)
    comes = permit(begun=kind == "begun", priority=kind == "priority")
    assert queue.turns_away(comes, 0.5) is None


@pytest.mark.parametrize(("left", "still_stands"), [(5, True), (3, True), (2, False)])
def test_a_crowd_is_over_when_more_than_half_have_gone(
    left: int, still_stands: bool
) -> None:
    queue = make(crowd=6)
    permits = stand(queue, 6)
    is_refused(queue, 0.0)
    for one in permits[left:]:
        queue.remove(one)
    # Fewer than a crowd are not refused, however long it has stood.
    assert not is_refused(queue, 0.5)
    stand(queue, 6 - left)
    assert is_refused(queue, 0.6) == still_stands


@pytest.mark.parametrize(("of_requests", "is_crowd"), [(2, True), (1, False)])
def test_requests_are_counted_and_not_their_threads(
    of_requests: int, is_crowd: bool
) -> None:
    queue = make(crowd=6)
    stand(queue, 2)
    for _ in range(2):
        queue.add(permit(priority=True))
    requests = [object() for _ in range(of_requests)]
    for one in (*requests, *requests, *requests):
        queue.add(permit(begun=True, requester=one))
    queue.add(permit(begun=True))  # of no request
    is_refused(queue, 0.0)
    assert is_refused(queue, 0.5) == is_crowd
