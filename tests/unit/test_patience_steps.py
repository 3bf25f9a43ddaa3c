"""How long refusals pause, how soon anew, and for how long they are held back then."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pooled_db.request.patience import MEMORY, Patience
from pooled_db.request.traffic import BEAT, Traffic

LENT = 80.0


class Site:
    """Clients of two kinds: *others* ask so often whatever is said to them.

    Those who retry come back so many counts after they were refused. Refusals leave at
    *leaving* a second while they may, and one for each connection that is lent while
    they are held back. All is counted 50 times a second.
    """

    def __init__(
        self,
        *,
        others: float = 0.0,
        retry: bool = False,
        leaving: float = 720.0,
        lag: float = 0.0,
        delay: int = 5,
    ) -> None:
        self.traffic = Traffic(MEMORY)
        self.traffic.begin(100.0, 0)
        self.patience = Patience(self.traffic)
        self.others, self.retry, self.lag = others, retry, lag
        self.leaving, self.wanted = leaving, 1.0
        self.now, self._asked, self._left = 100.0, 0.0, 0.0
        self._on_their_way = [0.0] * delay
        #: When each pause began and ended.
        self.pauses: list[tuple[float, float]] = []

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / BEAT)):
            self._beat()

    def _beat(self) -> None:
        patience = self.patience
        self.now += BEAT
        free = 0.0 if patience.paused else self.leaving
        leaving = min(free, LENT) if patience.hold else free
        self._on_their_way.append(leaving if self.retry else 0.0)
        self._left += leaving * BEAT
        asking = self.others + (LENT if self.retry else 0.0)
        self._asked += (asking + self._on_their_way.pop(0)) * BEAT
        lent = int((self.now - 100.0) * LENT)
        self.traffic.count(self.now, int(self._asked), int(self._left), lent)
        was_paused = patience.paused
        patience.look(self.now, self.lag, 0.0, self.wanted, 5.0)
        if patience.paused and not was_paused:
            self.pauses.append((self.now, self.now))
        elif was_paused:
            self.pauses[-1] = self.pauses[-1][0], self.now

    def began(self) -> list[float]:
        return [began for began, _ in self.pauses]

    def lengths(self) -> list[float]:
        return [round(ended - began, 2) for began, ended in self.pauses]

    def until_a_pause_has_ended(self, number: int) -> None:
        while len(self.pauses) < number or self.patience.paused:
            self._beat()


# Pauses.


def test_the_first_pause_is_made_of_half_a_second_of_refusals() -> None:
    site = Site(others=800.0)
    site.go_on(2.0)
    assert 100.5 < site.began()[0] <= 100.5 + 3 * BEAT


def test_from_fewer_than_four_refusals_in_a_tenth_of_a_second_nothing_is_told() -> None:
    few = Site(others=300.0, leaving=30.0, lag=0.01)
    few.go_on(20.0)
    assert not few.pauses
    enough = Site(others=300.0, leaving=45.0, lag=0.01)
    enough.go_on(20.0)
    assert enough.pauses


@pytest.mark.parametrize(("leaving", "pauses"), [(200.0, False), (320.0, True)])
def test_a_loop_in_time_pauses_if_more_than_three_are_refused_for_each_served(
    leaving: float, pauses: bool
) -> None:
    site = Site(others=400.0, leaving=leaving)
    site.go_on(5.0)
    assert bool(site.pauses) is pauses


@pytest.mark.parametrize(("others", "helps"), [(300.0, True), (600.0, False)])
def test_a_pause_helps_if_less_than_four_tenths_are_left_but_for_the_served(
    others: float, helps: bool
) -> None:
    """Of the 720 a second that come back, and these others, who do not care."""
    site = Site(others=others, retry=True)
    site.until_a_pause_has_ended(1)
    assert bool(site.patience.hold) is helps


def test_a_loop_in_time_sees_in_a_fifth_of_a_second_that_it_is_in_vain() -> None:
    site = Site(others=800.0, lag=0.01)
    site.go_on(30.0)
    assert {*site.lengths()} <= {0.2, 0.22}


def test_a_loop_that_is_late_pauses_for_longer_and_less_so_each_time() -> None:
    """It has not got round to all who have arrived: for up to 1.5 s, then 0.3 of it."""
    site = Site(others=800.0, lag=0.05)
    site.go_on(20.0)
    expected = [1.5, 0.45, 0.2]
    assert site.lengths()[:3] == pytest.approx(expected, abs=2 * BEAT)


def test_whoever_ceases_late_is_waited_for() -> None:
    """At 0.2 s fewer come for one tenth of a second, which may be a gap."""
    site = Site(retry=True, delay=6)
    site.until_a_pause_has_ended(1)
    assert site.patience.hold
    assert 0.2 < site.lengths()[0] < 0.35


def test_while_it_helps_it_is_tried_anew_every_2_s() -> None:
    site = Site(retry=True)
    site.go_on(15.0)
    began = site.began()
    first, *others = (round(later - earlier, 1) for earlier, later in pairwise(began))
    assert 0.5 <= first <= 1.0
    assert all(2.0 <= each <= 2.5 for each in others)


@pytest.mark.parametrize("lag", [0.0, 0.01])
def test_an_overload_that_was_over_is_looked_at_at_once(lag: float) -> None:
    """However seldom the one before was looked at."""
    site = Site(others=800.0, lag=lag)
    site.go_on(40.0)
    site.traffic.end()
    site.patience.end()
    site.traffic.begin(site.now, 0)
    began = site.now
    site.go_on(1.0)
    assert began < site.began()[-1]


def test_once_it_has_helped_it_is_tried_anew_as_soon_as_at_first() -> None:
    site = Site(others=800.0, lag=0.01)
    site.go_on(20.0)
    site.others, site.retry = 0.0, True
    while not site.patience.hold:
        site.go_on(BEAT)
    site.go_on(3.0)
    site.others, site.retry = 800.0, False
    while site.patience.hold:
        site.go_on(BEAT)
    ended = site.pauses[-1][1]
    site.go_on(10.0)
    after = [began for began in site.began() if began > ended]
    assert after[0] - ended == pytest.approx(2.0, abs=0.3)


# For how long each is held back.


def held_for_a_second() -> Site:
    site = Site(retry=True, lag=0.01)
    site.go_on(10.0)
    assert site.patience.hold == pytest.approx(1.0)
    return site


def come_whatever_is_said(site: Site) -> None:
    """Until one pause has shown that."""
    site.others, site.retry = 800.0, False
    site.until_a_pause_has_ended(len(site.pauses) + 1)


def test_it_is_less_at_first_when_others_have_come_and_none_after_that() -> None:
    site = held_for_a_second()
    come_whatever_is_said(site)
    assert site.patience.hold == pytest.approx(0.6)
    ended = site.now
    come_whatever_is_said(site)
    assert site.patience.hold == 0.0
    assert site.pauses[-1][0] - ended == pytest.approx(0.5, abs=2 * BEAT)


def test_it_is_not_more_than_has_helped_but_for_a_tenth_with_each_look() -> None:
    site = held_for_a_second()
    come_whatever_is_said(site)
    site.others, site.retry = 0.0, True
    site.go_on(1.5)
    assert 0.55 < site.patience.hold < 0.75
    site.go_on(15.0)
    assert site.patience.hold == pytest.approx(1.0)


@pytest.mark.parametrize("ends", ["with another look", "with the overload"])
def test_what_has_helped_no_more_bounds_nobody_after_that(ends: str) -> None:
    site = held_for_a_second()
    come_whatever_is_said(site)
    if ends == "with the overload":
        site.traffic.end()
        site.patience.end()
        site.traffic.begin(site.now, 0)
    else:
        come_whatever_is_said(site)
    site.others, site.retry = 0.0, True
    while not site.patience.hold:
        site.go_on(BEAT)
    site.go_on(1.5)
    assert site.patience.hold > 0.9


@pytest.mark.parametrize("retry", [False, True])
def test_refusals_are_held_in_vain_if_others_have_come_all_the_same(
    retry: bool,
) -> None:
    site = Site(others=0.0 if retry else 800.0, retry=retry)
    patience = site.patience
    seen = [patience.in_vain]
    site.go_on(3.0)
    assert site.pauses
    seen.append(patience.in_vain)
    patience.end()
    seen.append(patience.in_vain)
    assert seen == [False, not retry, False]
