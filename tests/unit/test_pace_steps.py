"""When refusals leave, a step at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pooled_db import pools
from pooled_db.request import pace as pacing
from pooled_db.request.pace import HeldBack, Pace
from tests.virtual_loop import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def pace(loop: VirtualLoop) -> Pace:
    return Pace(loop)


def test_where_waiting_is_in_vain_all_leave_who_have_waited_for_long(
    loop: VirtualLoop, pace: Pace
) -> None:
    """More come than leave a few a turn: to go on so would only make them wait."""
    pace._patience._failures = 1
    loop.now = 10.0
    waiting = [HeldBack(loop.create_future(), 1.0, None) for _ in range(50)]
    young = HeldBack(loop.create_future(), 10.0, None)
    pace._fresh.extend(waiting[:40])
    pace._old.extend(waiting[40:])
    pace._fresh.append(young)
    pace._a_turn = 1.0
    pace._turn_began = loop.now
    pace._turn()
    assert all(one.leaves.done() for one in waiting)
    assert not young.leaves.done()


@pytest.mark.parametrize("alias", ["default", "unknown"])
def test_each_loop_has_a_pace_for_the_pool_of_the_alias(
    monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    held: list[tuple[object, object]] = []

    async def hold(self: Pace, pool: object, listen: object) -> None:
        held.append((pool, listen))

    monkeypatch.setattr(Pace, "hold", hold)
    asyncio.run(pacing.hold(alias, pytest.fail))
    pool = pools.for_alias(alias) if alias == "default" else None
    assert held == [(pool, pytest.fail)]


@pytest.mark.parametrize(("took", "leave"), [(0.005, 7), (0.003, 10)])
def test_fewer_leave_after_a_turn_that_took_longer_than_4_ms(
    loop: VirtualLoop, pace: Pace, took: float, leave: int
) -> None:
    loop.now = 10.0
    waiting = [HeldBack(loop.create_future(), 10.0, None) for _ in range(50)]
    pace._fresh.extend(waiting)
    pace._a_turn = 10.0
    pace._turn_began = loop.now - took
    pace._turn()
    assert sum(one.leaves.done() for one in waiting) == leave


def test_one_refusal_leaves_for_each_connection_that_is_lent(
    loop: VirtualLoop, pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So each is held back for as long as it takes to lend as many as are held."""
    pace._fresh.extend(HeldBack(loop.create_future(), 0.0, None) for _ in range(40))
    wanted: list[float] = []

    def look(now: float, lag: float, overdue: float, hold: float, most: float) -> None:
        wanted.append(hold)

    monkeypatch.setattr(pace._patience, "look", look)
    pace._traffic.lending = 80.0
    pace._look(0.0)
    assert wanted == [pytest.approx(0.5, rel=0.1)]


@pytest.mark.parametrize(("paused", "at"), [(False, 10.5), (True, 10.0)])
def test_each_leaves_some_time_after_the_one_before_but_for_a_pause(
    pace: Pace, monkeypatch: pytest.MonkeyPatch, paused: bool, at: float
) -> None:
    """However slowly connections are lent; after a pause those left go on at once."""
    monkeypatch.setattr(pace._patience, "look", lambda *judged: None)
    pace._patience.paused = paused
    pace._next = 10.5
    pace._look(10.0)
    assert pace._next == at
