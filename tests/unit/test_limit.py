"""How many connections a server grants, as a pool learns it from refusals."""

from __future__ import annotations

import pytest

from pooled_db.pool.gate import Gate
from pooled_db.pool.limit import CONTENDED, FIRST_LATE_PAUSE, Limit
from pooled_db.pool.outage import PATIENCE
from tests.clock import Clock


def test_what_is_granted_is_logged_again_if_the_server_granted_all_meanwhile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, there = Clock(), 5
    limit = Limit("default", Gate(10, clock=clock), lambda: there)

    def fail() -> int:
        clock.now += 60.0
        limit.failed(clock.now + 1.0, "it has no more", no_room=True)
        return len(caplog.records)

    assert [fail(), fail()] == [1, 1]
    there = 10
    limit.opened()
    there = 5
    assert [fail(), fail()] == [2, 2]


def test_the_pause_before_one_more_is_tried_is_halved_with_each_success_but_one() -> (
    None
):
    clock, there = Clock(), 5
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: there)
    limit.failed(clock.now + 8.0, "it has no more", no_room=True)
    pauses = []
    for opened in (6, 7, 8, 9):
        there = opened
        gate.raise_at = float("inf")  # one has just been tried
        limit.opened()
        pauses.append(gate.raise_at - clock.now)

    assert pauses == [8.0, 4.0, 2.0, 1.0]


def test_who_is_refused_again_has_had_no_success_yet() -> None:
    clock, there = Clock(), 5
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: there)
    pauses = []
    for opened in (6, 7, 8):
        limit.failed(clock.now + 8.0, "it has no more", no_room=True)
        there = opened
        gate.raise_at = float("inf")
        limit.opened()
        pauses.append(gate.raise_at - clock.now)

    assert pauses == [8.0] * 3


@pytest.mark.parametrize(("left", "pause"), [(1, 0.2), (2, 0.24), (5, 0.6)])
def test_room_is_left_to_others_for_a_moment(left: int, pause: float) -> None:
    clock = Clock()
    gate, smaller = (Gate(size, reserved_share=0.5, clock=clock) for size in (8, left))
    limit = Limit("default", gate, lambda: left)
    limit.leave_room()
    assert pause <= gate.raise_at - clock.now <= 1.25 * pause
    assert (gate.limit, gate.reserved) == (left, smaller.reserved)


def test_one_who_meets_no_room_late_is_tried_after_as_long_a_pause_each_time() -> None:
    clock, there = Clock(), 5
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: there)
    limit.failed_late("the proxy's server has no room")
    pauses = []
    for opened in (6, 7, 8):
        there = opened
        gate.raise_at = float("inf")
        limit.opened()
        pauses.append(gate.raise_at - clock.now)

    assert pauses == [FIRST_LATE_PAUSE] * 3


def test_who_meets_no_room_late_again_and_again_tries_ever_later_as_far_as_8_s() -> (
    None
):
    """Each try costs a request."""
    clock = Clock()
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: 5)
    pauses = []
    for _ in range(6):
        limit.failed_late("the proxy's server has no room")
        pauses.append(gate.raise_at - clock.now)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_one_more_is_tried_at_once_where_nobody_was_refused_lately() -> None:
    clock, there = Clock(), 5
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: there)
    limit.failed(clock.now + 8.0, "it has no more", no_room=True)
    clock.now += CONTENDED
    gate.raise_at = float("inf")
    there = 6
    limit.opened()

    assert gate.raise_at == clock.now


def test_requests_wait_for_room_anew_after_there_was_some() -> None:
    clock, there = Clock(), 0
    limit = Limit("default", Gate(10, clock=clock), lambda: there)

    def fail() -> bool:
        limit.failed(clock.now + 1.0, "it has no more", no_room=True)
        return limit.waits_for_room

    assert fail()
    clock.now += PATIENCE
    assert not fail()
    there = 1
    limit.opened()
    there = 0
    assert fail()


def test_a_pause_after_meeting_no_room_late_begins_anew_when_all_is_granted() -> None:
    clock, there = Clock(), 5
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: there)
    for pause in (0.5, 1.0, 2.0):
        limit.failed_late("the proxy's server has no room")
        assert gate.raise_at - clock.now == pause
    there = 10
    limit.opened()
    there = 5
    limit.failed_late("the proxy's server has no room")
    assert gate.raise_at - clock.now == 0.5


def test_of_what_is_granted_a_share_is_for_those_with_priority() -> None:
    clock, there = Clock(), 4
    gate = Gate(8, reserved_share=0.25, clock=clock)
    limit = Limit("default", gate, lambda: there)
    limit.failed(clock.now + 1.0, "it has no more", no_room=True)
    assert (gate.limit, gate.reserved) == (4, 1)
    there = 3
    limit.failed(clock.now + 1.0, "it has no more", no_room=True)
    assert (gate.limit, gate.reserved) == (3, 0)
    there = 5
    limit.opened()
    assert (gate.limit, gate.reserved) == (5, 1)
    there = 8
    limit.opened()
    assert (gate.limit, gate.reserved) == (8, 2)


def test_room_that_was_left_to_others_says_nothing_of_what_is_granted() -> None:
    clock, there = Clock(), 5
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: there)
    limit.leave_room()
    assert (gate.limit, limit.now_granted) == (5, 10)
    there = 6
    limit.opened()
    assert (gate.limit, limit.now_granted) == (6, 10)


def test_a_refusal_is_remembered_for_10_s_and_for_a_minute() -> None:
    clock = Clock()
    limit = Limit("default", Gate(10, clock=clock), lambda: 5)
    assert (limit.is_contended, limit.was_contended) == (False, False)
    limit.failed(clock.now + 1.0, "it has no more", no_room=True)
    remembered = []
    for seconds in (9.9, 0.1, 49.9, 0.1):
        clock.now += seconds
        remembered.append((limit.is_contended, limit.was_contended))
    assert remembered == [(True, True), (False, True), (False, True), (False, False)]


def test_what_is_granted_is_logged_once_a_second_at_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, there = Clock(), 5
    limit = Limit("default", Gate(10, clock=clock), lambda: there)
    logged = []
    for granted, seconds in ((5, 0.0), (4, 0.9), (4, 0.1), (4, 5.0)):
        there = granted
        clock.now += seconds
        limit.failed(clock.now + 1.0, "it has no more", no_room=True)
        logged.append(len(caplog.records))

    assert logged == [1, 1, 2, 2]


@pytest.mark.parametrize("was_refused", [False, True])
def test_where_all_is_granted_nobody_looks_for_more(was_refused: bool) -> None:
    """Whoever waits would be woken for it."""
    clock, there = Clock(), 5
    gate = Gate(6, clock=clock)
    limit = Limit("default", gate, lambda: there)
    if was_refused:
        limit.failed(clock.now + 1.0, "it has no more", no_room=True)
        assert gate.raise_at == clock.now + 1.0
        there = 6
    limit.opened()
    assert (gate.limit, gate.raise_at) == (6, float("inf"))


def test_what_is_opened_when_one_more_is_tried_is_granted_too() -> None:
    clock, there = Clock(), 4
    gate = Gate(6, clock=clock)
    limit = Limit("default", gate, lambda: there)
    limit.failed(clock.now + 1.0, "it has no more", no_room=True)
    gate.limit = 6  # two have tried since
    there = 5
    limit.opened()
    assert limit.now_granted == 5


def test_requests_wait_for_no_server_that_is_away() -> None:
    """That it was full before says nothing of when it is back."""
    clock = Clock()
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: 0)
    waits = []
    for no_room in (False, True, False):
        limit.failed(clock.now + 1.0, "it refuses connections", no_room=no_room)
        waits.append((limit.waits_for_room, gate.limit))
    assert waits == [(False, 10), (True, 0), (False, 10)]


def test_who_had_some_before_waits_for_room_for_as_long_as_others() -> None:
    clock, there = Clock(), 5
    limit = Limit("default", Gate(10, clock=clock), lambda: there)
    limit.failed(clock.now + 1.0, "it has no more", no_room=True)
    assert not limit.waits_for_room
    clock.now += PATIENCE
    there = 0
    limit.failed(clock.now + 1.0, "it has no more", no_room=True)
    assert limit.waits_for_room


def test_what_is_granted_is_logged_when_no_attempt_may_change_it_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    limit = Limit("default", Gate(10, clock=clock), lambda: 5)
    logged = []
    for opening in (1, 0):
        limit.opening = set(range(opening))
        limit.failed(clock.now + 1.0, "it has no more", no_room=True)
        logged.append((limit.granted, len(caplog.records)))
    assert logged == [(6, 0), (5, 1)]
    assert caplog.messages[0].startswith("Limit 5 of 10 granted for 'default'")


@pytest.mark.parametrize("is_late", [False, True])
def test_why_no_more_are_granted_is_logged(
    caplog: pytest.LogCaptureFixture, is_late: bool
) -> None:
    clock = Clock()
    limit = Limit("default", Gate(10, clock=clock), lambda: 5)
    if is_late:
        limit.failed_late("the proxy has no room")
    else:
        limit.failed(clock.now + 1.0, "the proxy has no room")
    assert "granted for 'default': the proxy has no room. " in caplog.messages[0]


@pytest.mark.parametrize("late", [0.0, 5.0])
def test_however_late_it_is_one_more_is_not_tried_at_once(late: float) -> None:
    """Another thread may just be trying."""
    clock, there = Clock(), 5
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: there)
    limit.failed(clock.now - late, "it has no more", no_room=True)
    pauses = [gate.raise_at - clock.now]
    gate.raise_at = float("inf")
    there = 6
    limit.opened()
    pauses.append(gate.raise_at - clock.now)
    assert 0.0 < pauses[0] == pauses[1] < 0.1


def test_who_has_none_left_where_a_proxy_has_no_room_waits_for_none() -> None:
    """Whoever asks learns at once how that is."""
    clock = Clock()
    gate = Gate(10, clock=clock)
    limit = Limit("default", gate, lambda: 0)
    limit.failed_late("the proxy's server has no room")
    assert (limit.waits_for_room, gate.limit) == (False, 10)
