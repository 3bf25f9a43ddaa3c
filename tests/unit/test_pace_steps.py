"""When refusals leave, a step at a time."""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pooled_db import pools
from pooled_db.pool.pool import Pool
from pooled_db.request import pace as pacing
from pooled_db.request.pace import HeldBack, Pace
from pooled_db.request.traffic import BEAT
from tests.virtual_loop import VirtualLoop


@pytest.fixture
def pace(loop: VirtualLoop) -> Pace:
    pace = Pace(loop)
    pace._traffic.begin(loop.now, 0)
    return pace


def test_where_waiting_is_in_vain_all_leave_who_have_waited_for_long(
    loop: VirtualLoop, pace: Pace
) -> None:
    """More come than leave a few a turn: to go on so would only make them wait."""
    pace._patience._failures = 1
    loop.now = 10.0
    waiting = [HeldBack(loop.create_future(), 9.85, None) for _ in range(50)]
    young = HeldBack(loop.create_future(), 9.95, None)
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


def test_all_refusals_of_a_loop_leave_at_one_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paces: list[Pace] = []

    async def hold(self: Pace, pool: object, listen: object) -> None:
        paces.append(self)

    async def refuse_two() -> None:
        await pacing.hold("default")
        await pacing.hold("other")

    monkeypatch.setattr(Pace, "hold", hold)
    asyncio.run(refuse_two())
    assert paces[0] is paces[1]


@pytest.mark.parametrize(
    ("files", "held"),
    [(500, 250), (1_000_000, 10_000), ("unlimited", 10_000), (None, 10_000)],
)
def test_as_many_are_held_back_as_leave_half_of_the_open_files(
    monkeypatch: pytest.MonkeyPatch,
    loop: VirtualLoop,
    files: int | str | None,
    held: int,
) -> None:
    """``None`` stands for a system that has no such limit."""
    there: Any = SimpleNamespace(
        RLIMIT_NOFILE=7, RLIM_INFINITY="unlimited", getrlimit=lambda which: (files, 0)
    )
    monkeypatch.setitem(sys.modules, "resource", None if files is None else there)
    assert Pace(loop)._most == held


@pytest.mark.parametrize(
    ("before", "took", "leave"),
    [(10.0, 0.005, 7), (10.0, 0.003, 10), (1.0, 0.005, 1)],
)
def test_fewer_leave_after_a_turn_that_took_longer_than_4_ms(
    loop: VirtualLoop, pace: Pace, before: float, took: float, leave: int
) -> None:
    loop.now = 10.0
    waiting = [HeldBack(loop.create_future(), 10.0, None) for _ in range(50)]
    pace._fresh.extend(waiting)
    pace._a_turn = before
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


def hold_back(pace: Pace, loop: VirtualLoop, *arrived: float) -> list[HeldBack]:
    held = [HeldBack(loop.create_future(), at, None) for at in arrived]
    pace._fresh.extend(held)
    return held


@pytest.mark.parametrize(
    ("arrived", "following", "paused", "overdue"),
    [
        (9.0, 9.5, False, 0.5),
        (9.75, 9.5, False, 0.25),
        (9.0, 9.5, True, 0.0),
        (9.0, 10.5, False, 0.0),
        (None, 9.5, False, 0.0),
    ],
)
def test_whoever_may_leave_is_overdue_from_then_on(
    loop: VirtualLoop,
    pace: Pace,
    monkeypatch: pytest.MonkeyPatch,
    arrived: float | None,
    following: float,
    paused: bool,
    overdue: float,
) -> None:
    told: list[float] = []

    def look(now: float, lag: float, overdue: float, *others: float) -> None:
        told.append(overdue)

    monkeypatch.setattr(pace._patience, "look", look)
    if arrived is not None:
        hold_back(pace, loop, arrived)
    pace._next = following
    pace._patience.paused = paused
    pace._look(10.0)
    assert told == [overdue]


class Lender:
    """A pool as far as refusals look at it."""

    def __init__(
        self, *, timeout: float = 5.0, waiting: int = 30, capacity: int = 4
    ) -> None:
        self.timeout = timeout
        self.gate = SimpleNamespace(waiting=waiting, capacity=capacity)
        self.asked = self.checkouts = 0


def pool_of(lender: Lender) -> Pool:
    return cast("Pool", lender)


def test_those_count_who_have_come_since_the_first_refusal(
    loop: VirtualLoop, pace: Pace
) -> None:
    lender = Lender()
    lender.asked, lender.checkouts = 500, 300
    loop.now = 10.0
    loop.run_until_complete(pace.hold(pool_of(lender)))
    lender.asked, lender.checkouts = 507, 302
    pace._look(10.25)
    assert pace._traffic.since == 10.0
    assert pace._traffic.rates(0.25) == (28.0, 4.0, 8.0)


def let_in(
    pace: Pace, loop: VirtualLoop, lender: Lender, *waiting: int, hold: float = 1.0
) -> list[int]:
    """How many leave at each beat, with so many in line, who are held back."""
    held = hold_back(pace, loop, *[10.0] * 200)
    pace._pools[pool_of(lender)] = 0, 0
    pace._next = float("inf")
    left = [0]
    for number in waiting:
        lender.gate.waiting = number
        pace._patience.hold = hold
        pace._look_after(10.0)
        left.append(sum(one.leaves.done() for one in held))
    return [after - before for before, after in pairwise(left)]


@pytest.mark.parametrize(
    ("capacity", "waiting", "leave"),
    [
        (4, (0, 0, 0, 0), [4, 8, 16, 32]),
        (1, (0, 0, 0), [1, 2, 4]),
        (1, (0, 30, 0), [1, 0, 1]),
        (4, (3, 3, 3), [4, 4, 4]),
        (4, (0, 0, 2, 0), [4, 8, 4, 8]),
        (4, (0, 0, 30, 0, 0), [4, 8, 0, 4, 8]),
        (4, (4, 4), [0, 0]),
    ],
)
def test_while_the_line_is_empty_twice_as_many_leave_each_time(
    loop: VirtualLoop,
    pace: Pace,
    capacity: int,
    waiting: tuple[int, ...],
    leave: list[int],
) -> None:
    """As many as can be served while it is short, and none while it is not."""
    assert let_in(pace, loop, Lender(capacity=capacity), *waiting) == leave


@pytest.mark.parametrize(
    ("waiting", "leave"),
    [((30, 30), [0, 0]), ((30, 0), [8, 8]), ((0, 0), [8, 16])],
)
def test_of_several_pools_one_whose_line_is_short_is_enough(
    loop: VirtualLoop, pace: Pace, waiting: tuple[int, int], leave: list[int]
) -> None:
    """And twice as many leave only while there is no line at all."""
    first, second = waiting
    pace._pools[pool_of(Lender(waiting=first))] = 0, 0
    assert let_in(pace, loop, Lender(), second, second) == leave


@pytest.mark.parametrize(("paused", "hold"), [(True, 1.0), (False, 0.0)])
def test_nobody_leaves_for_a_short_line_in_a_pause_or_where_none_is_held_back(
    loop: VirtualLoop, pace: Pace, paused: bool, hold: float
) -> None:
    """A pause shows who comes unanswered; who is not held back leaves with its turn."""
    pace._patience.paused = paused
    pace._patience._paused_at = 10.0
    assert let_in(pace, loop, Lender(), 0, 0, hold=hold) == [0, 0]


def test_whose_time_has_come_leaves_and_nobody_else(
    loop: VirtualLoop, pace: Pace
) -> None:
    held = hold_back(pace, loop, 5.0, 5.5)
    pace._patience.paused = True
    pace._patience._paused_at = 10.0
    pace._look_after(10.0)
    assert [one.leaves.done() for one in held] == [True, False]


def test_whoever_is_held_back_for_a_tenth_of_a_second_is_listened_to(
    loop: VirtualLoop, pace: Pace
) -> None:
    """Unless its wait is over already."""
    listened: list[float] = []
    for arrived in (9.84, 9.85, 9.95):
        (held,) = hold_back(pace, loop, arrived)
        held.listen = lambda arrived=arrived: listened.append(arrived)
    pace._fresh[0].leaves.cancel()
    pace._let_listen(10.0)
    assert listened == [9.85]


def test_of_more_than_may_be_held_back_the_first_leaves(
    loop: VirtualLoop, pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_most", 3)
    monkeypatch.setattr(pace, "_beat", lambda: None)
    pace._patience.paused = True

    async def scenario() -> None:
        left: list[list[bool]] = []
        held = []
        for _ in range(5):
            held.append(loop.create_task(pace.hold(None)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            left.append([one.done() for one in held])
        assert left[2] == [False] * 3
        assert left[3] == [True, False, False, False]
        assert left[4] == [True, True, False, False, False]
        for one in held:
            one.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    loop.run_until_complete(scenario())


def test_nobody_is_held_back_beyond_the_timeout_of_its_pool(
    loop: VirtualLoop, pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which counts until there are no refusals any more."""
    monkeypatch.setattr(pace._patience, "look", lambda *judged: None)

    async def held(lender: Lender) -> float:
        pace._patience.paused = True
        began = loop.now
        await pace.hold(pool_of(lender))
        return loop.now - began

    async def scenario() -> None:
        patient = Lender(timeout=30.0)
        assert await held(Lender(timeout=0.5)) == pytest.approx(0.5, abs=2 * BEAT)
        assert await held(patient) == pytest.approx(0.5, abs=2 * BEAT)
        await asyncio.sleep(pacing.QUIET + 2 * BEAT)
        assert await held(patient) == pytest.approx(5.0, abs=2 * BEAT)

    loop.run_until_complete(scenario())


def test_an_overload_that_is_over_counts_in_no_other(
    loop: VirtualLoop, pace: Pace
) -> None:
    lender = Lender()

    async def scenario() -> None:
        await pace.hold(pool_of(lender))
        await asyncio.sleep(pacing.QUIET + 2 * BEAT)
        lender.asked, lender.checkouts = 10_000, 9_000
        began = loop.now
        await pace.hold(pool_of(lender))
        await asyncio.sleep(3 * BEAT)
        assert pace._traffic.since == began
        asking, _, lending = pace._traffic.rates(1.0)
        assert (asking, lending) == (0.0, 0.0)

    loop.run_until_complete(scenario())
