"""When refusals leave, in virtual time: callbacks say for how long they work."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from pooled_db.pool.pool import Pool
from pooled_db.request import pace as pacing
from pooled_db.request.pace import Pace
from pooled_db.request.traffic import BEAT
from tests.virtual_loop import VirtualLoop

#: Seconds of the processor: to receive a request and refuse it, to send that.
ARRIVAL, ANSWER = 0.0004, 0.0003
SECONDS = 8.0
SETTLED = 2.0


@dataclass(eq=False)
class Line:
    """A gate with so many in line."""

    waiting: int = 30
    capacity: int = 4


@dataclass(eq=False)
class Lender:
    """A pool that lends 80 connections a second."""

    timeout: float = 5.0
    gate: Line = field(default_factory=Line)
    lends: float = 80.0
    loop: VirtualLoop | None = None
    refused: int = 0

    @property
    def asked(self) -> int:
        return self.checkouts + self.refused

    @property
    def checkouts(self) -> int:
        return 0 if self.loop is None else int(self.loop.now * self.lends)


class Site:
    """Refuses everybody, and notes for how long each refusal was held back."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.lender = Lender(loop=self.loop)
        self.pool = cast("Pool", self.lender)
        self.pace = Pace(self.loop)
        self.held: list[tuple[float, float]] = []
        self.most = 0

    async def request(self) -> None:
        self.loop.work(ARRIVAL)
        arrived = self.loop.now
        self.lender.refused += 1
        await self.pace.hold(self.pool)
        self.held.append((arrived, self.loop.now - arrived))
        self.loop.work(ANSWER)

    async def client(self, delay: float) -> None:
        """Come back as soon as there is an answer."""
        while self.loop.now < SECONDS:
            await self.request()
            await asyncio.sleep(delay)

    async def arrivals(self, rate: float) -> None:
        """Come whatever the answers."""
        requests = []
        for number in range(int(rate * SECONDS)):
            await asyncio.sleep(max(0.0, number / rate - self.loop.now))
            requests.append(self.loop.create_task(self.request()))
        await asyncio.gather(*requests)

    def run(self, *everybody: Awaitable[None]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*everybody)

        try:
            self.loop.run_until_complete(all_of_them())
        finally:
            self.loop.close()

    def settled(self) -> list[float]:
        return sorted(held for arrived, held in self.held if arrived > SETTLED)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize("clients", [200, 1000])
@pytest.mark.parametrize("delay", [0.0005, 0.05])
def test_clients_that_come_back_at_once_are_kept_from_the_processor(
    site: Site, clients: int, delay: float
) -> None:
    site.run(*(site.client(delay) for _ in range(clients)))

    refused = len(site.settled()) / (SECONDS - SETTLED)
    bound = max(2 * site.lender.lends, 1.5 * clients / site.lender.timeout)
    assert refused < bound
    assert site.settled()[-1] <= site.lender.timeout + 2 * BEAT


def test_arrivals_that_do_not_care_are_refused_at_once(site: Site) -> None:
    site.run(site.arrivals(720.0))

    assert site.settled()[-1] < 0.05


def test_what_a_pool_has_lent_before_is_not_of_this_overload(site: Site) -> None:
    @dataclass(eq=False)
    class Old(Lender):
        @property
        def checkouts(self) -> int:
            return 1_000_000 + super().checkouts

    lending: list[float] = []

    async def refused_by_another() -> None:
        await asyncio.sleep(0.3)
        await site.pace.hold(cast("Pool", Old(loop=site.loop)))
        await asyncio.sleep(0.1)
        lending.append(site.pace._traffic.rates(0.3)[2])

    site.run(site.arrivals(720.0), refused_by_another())

    assert lending[0] < 3 * site.lender.lends


def test_a_loop_that_is_late_by_itself_makes_such_arrivals_wait_for_moments(
    site: Site,
) -> None:
    """It looks whether they care, ever more seldom."""

    async def others() -> None:
        while site.loop.now < SECONDS:
            site.loop.work(0.02)
            await asyncio.sleep(0.02)

    site.run(site.arrivals(300.0), others())

    held = site.settled()
    assert held[-1] < 0.3
    assert held[int(0.9 * len(held))] < 0.1


def test_a_few_leave_in_a_turn(site: Site) -> None:
    turns: list[float] = []

    async def good() -> None:
        """Need a turn now and then, as a request that is served does."""
        while site.loop.now < 0.5:
            began = site.loop.now
            site.loop.work(0.0001)
            await asyncio.sleep(0)
            turns.append(site.loop.now - began)

    async def crowd() -> None:
        # All are there at once.
        await asyncio.gather(*(site.request() for _ in range(1000)))

    site.run(crowd(), good())

    # The first turn is that in which they all arrive.
    assert sorted(turns)[int(0.9 * len(turns))] < 2.5 * pacing.TURN


def test_more_leave_in_a_turn_that_is_short(site: Site) -> None:
    """A turn costs nothing here but to come round."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while len(site.held) < 1000:
            turns += 1
            await asyncio.sleep(0)

    async def one() -> None:
        await site.pace.hold(site.pool)
        site.held.append((0.0, 0.0))

    site.run(count(), *(one() for _ in range(1000)))

    # Four a turn, as in the first, would take 250.
    assert turns < 120


def test_nobody_is_let_go_where_nobody_is_held(site: Site) -> None:
    site.pace._let_go(3)
    site.loop.close()


def test_when_the_line_runs_out_those_held_back_are_let_in(site: Site) -> None:
    async def line_runs_out() -> None:
        await asyncio.sleep(4.0)
        site.lender.gate.waiting = 0

    site.run(line_runs_out(), *(site.client(0.0005) for _ in range(300)))

    before = sum(3.0 < arrived + held < 4.0 for arrived, held in site.held)
    after = sum(4.0 < arrived + held < 5.0 for arrived, held in site.held)
    assert before < 150
    assert after > 190


def test_when_nobody_comes_back_the_others_leave_soon(site: Site) -> None:
    """Whoever comes after an overload is held back behind all who are still there."""

    async def all_go_away() -> None:
        await asyncio.sleep(4.0)
        site.lender.gate.waiting = 0
        assert len(site.pace) > 800
        while len(site.pace):
            await asyncio.sleep(BEAT)
        assert site.loop.now - 4.0 < 0.5  # most of which are their answers

    async def client() -> None:
        while site.loop.now < 4.0:
            await site.request()
            await asyncio.sleep(0.0005)

    site.run(all_go_away(), *(client() for _ in range(1000)))


def test_they_are_bounded_in_number(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.pace, "_most", 50)
    most = 0

    async def watch() -> None:
        nonlocal most
        while site.loop.now < SECONDS:
            most = max(most, len(site.pace))
            await asyncio.sleep(0.001)

    site.run(watch(), *(site.client(0.0005) for _ in range(200)))

    assert 40 < most <= 50


def test_whoever_hangs_up_leaves_at_once(site: Site) -> None:
    async def scenario() -> None:
        clients = [site.loop.create_task(site.client(0.0005)) for _ in range(300)]
        await asyncio.sleep(2.0)
        assert len(site.pace) > 250
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await asyncio.sleep(2 * pacing.QUIET)
        assert len(site.pace) == 0

    site.run(scenario())


def test_who_is_held_back_for_long_is_listened_to(site: Site) -> None:
    listened: list[Callable[[], None]] = []

    async def one() -> None:
        await site.pace.hold(site.pool, lambda: listened.append(lambda: None))

    async def scenario() -> None:
        others = [site.loop.create_task(site.client(0.0005)) for _ in range(300)]
        await one()  # at once
        assert not listened
        await asyncio.sleep(1.0)
        await one()
        assert listened
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    site.run(scenario())


def test_nobody_waits_for_a_beat_that_has_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException] = []
    site.loop.set_exception_handler(
        lambda _, context: told.append(context["exception"])
    )

    def fail(*args: object) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        others = [site.loop.create_task(site.client(0.0005)) for _ in range(300)]
        await asyncio.sleep(2.0)
        assert len(site.pace) > 250
        for other in others:
            other.cancel()
        waiting = [site.loop.create_task(site.request()) for _ in range(3)]
        monkeypatch.setattr(site.pace._patience, "look", fail)
        await asyncio.gather(*waiting)
        await asyncio.gather(*others, return_exceptions=True)

    site.run(scenario())
    assert {type(each) for each in told} == {ZeroDivisionError}


def test_after_a_beat_that_has_failed_there_are_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.loop.set_exception_handler(lambda *_: None)
    listened: list[None] = []

    def fail(*args: object) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        monkeypatch.setattr(site.pace._patience, "look", fail)
        await site.pace.hold(site.pool)
        await asyncio.sleep(2 * BEAT)
        monkeypatch.undo()
        others = [site.loop.create_task(site.client(0.0005)) for _ in range(300)]
        await asyncio.sleep(2.0)
        await site.pace.hold(site.pool, lambda: listened.append(None))
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    site.run(scenario())
    assert listened


def test_an_overload_that_is_over_is_forgotten(site: Site) -> None:
    async def scenario() -> None:
        await asyncio.gather(
            *(site.loop.create_task(site.client(0.0005)) for _ in range(300))
        )
        await asyncio.sleep(2 * pacing.QUIET)
        began = site.loop.now
        await site.pace.hold(site.pool)
        assert site.loop.now - began <= BEAT

    site.run(scenario())


def test_what_was_learnt_outlives_a_moment_without_refusals(site: Site) -> None:
    async def scenario() -> None:
        clients = [site.loop.create_task(site.client(0.0005)) for _ in range(300)]
        await asyncio.sleep(3.0)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await asyncio.sleep(0.5)
        assert site.pace._patience.hold > 0.5
        await asyncio.sleep(2.0)
        assert site.pace._patience.hold == 0.0

    site.run(scenario())


def test_those_who_came_in_a_pause_leave_at_its_end(site: Site) -> None:
    async def scenario() -> None:
        site.pace._patience.paused = True
        refused = [
            site.loop.create_task(site.pace.hold(site.pool, None)) for _ in range(5)
        ]
        await asyncio.sleep(0)
        assert len(site.pace) == 5
        site.pace._patience.paused = False  # nobody else comes
        await asyncio.sleep(0.1)
        assert all(one.done() for one in refused)

    site.run(scenario())


@pytest.mark.parametrize(
    ("files", "most"), [(1024, 512), (50_000, 10_000), (resource.RLIM_INFINITY, 10_000)]
)
def test_half_as_many_as_files_may_be_open_are_held(
    site: Site, monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda of: (files, files))

    assert Pace(site.loop)._most == most
    site.loop.close()


def test_a_first_refusal_is_no_sign_of_a_late_loop(site: Site) -> None:
    site.loop.now = 1000.0

    async def scenario() -> None:
        await site.request()
        await asyncio.sleep(3 * BEAT)
        assert site.pace._patience._lag < 0.01

    site.run(scenario())
