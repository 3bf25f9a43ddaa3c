"""How evenly refusals leave, turn by turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pooled_db.request.pace import HeldBack, Pace
from tests.virtual_loop import VirtualLoop

#: When each test begins, in seconds.
BEGAN = 10.0


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    loop.now = BEGAN
    yield loop
    loop.close()


@pytest.fixture
def pace(loop: VirtualLoop) -> Pace:
    """Ten refusals that are held back for a second each."""
    pace = Pace(loop)
    pace._patience.hold = 1.0
    pace._fresh.extend(HeldBack(loop.create_future(), BEGAN, None) for _ in range(10))
    pace._next = BEGAN
    return pace


def left(pace: Pace, at: float) -> int:
    """How many leave in a turn at that time."""
    before = len(pace)
    loop = pace._loop
    assert isinstance(loop, VirtualLoop)
    loop.now = pace._turn_began = at
    pace._turn()
    return before - len(pace)


def test_as_many_leave_a_second_as_are_held_for_one(pace: Pace) -> None:
    """Those who came together do not come back together."""
    assert [left(pace, at) for at in (10.0, 10.09, 10.11, 10.2)] == [1, 0, 1, 0]


def test_after_a_loop_that_was_late_they_do_not_leave_all_at_once(pace: Pace) -> None:
    pace._next = BEGAN - 5.0
    assert left(pace, BEGAN) == 2


def test_whoever_has_hung_up_takes_no_turn_of_others(pace: Pace) -> None:
    gone, *others = pace._fresh
    gone.leaves.cancel()
    assert left(pace, BEGAN) == 2
    assert [one.leaves.done() for one in others] == [True, *[False] * 8]


def test_what_is_due_goes_on_leaving_in_the_next_turn(
    loop: VirtualLoop, pace: Pace
) -> None:
    """Without a beat, which comes 20 ms later."""
    pace._patience.hold = 0.0

    async def all_leave() -> None:
        waiting = [one.leaves for one in pace._fresh]
        pace._go_on(BEGAN)
        await asyncio.gather(*waiting)

    loop.run_until_complete(asyncio.wait_for(all_leave(), 0.01))
    assert loop.now == BEGAN


def test_more_leave_after_each_short_turn_as_far_as_32(
    loop: VirtualLoop, pace: Pace
) -> None:
    pace._patience.hold = 0.0
    pace._fresh.extend(HeldBack(loop.create_future(), BEGAN, None) for _ in range(3000))
    turns = [left(pace, BEGAN) for _ in range(80)]
    assert turns[:4] == [4, 5, 5, 6]
    assert turns[-1] == 32


def test_where_waiting_is_in_vain_a_turn_ends_with_the_last_who_has_not_hung_up(
    loop: VirtualLoop, pace: Pace
) -> None:
    pace._patience.hold = 0.0
    pace._patience._failures = 1
    first, *others = pace._fresh
    for one in others:
        one.leaves.cancel()
    pace._a_turn = 1.0
    assert left(pace, BEGAN) == 10
    assert first.leaves.result() is None
