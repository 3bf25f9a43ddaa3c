"""When refusals pause, for how long, and what the next look makes of it."""

from __future__ import annotations

import pytest

from pooled_db.request.patience import MEMORY, Patience
from pooled_db.request.traffic import Traffic

#: Of a second, of which no sum rounds.
LOOK = 1 / 64
#: What comes of it if nobody asks who is not served, in seconds.
SHORTEST_PAUSE = 10 * LOOK  # at least 0.15
#: How many a second ask, are refused and are served.
ASKING, LEAVING, LENDING = 800.0, 720.0, 80.0


class Looks:
    """Looks at requests and refusals, as many a second as is set."""

    def __init__(self) -> None:
        self.traffic = Traffic(MEMORY)
        self.patience = Patience(self.traffic)
        self.now = 100.0
        self.asking, self.leaving, self.lending = ASKING, LEAVING, LENDING
        self.lag = self.overdue = 0.0
        self.wanted, self.longest = 0.5, 5.0
        self.pauses = 0
        self._counts = (0.0, 0.0, 0.0)
        self.traffic.begin(self.now, 0)

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK)):
            self.now += LOOK
            leaving = 0.0 if self.patience.paused else self.leaving
            asked, left, lent = self._counts
            self._counts = asked, left, lent = (
                asked + self.asking * LOOK,
                left + leaving * LOOK,
                lent + self.lending * LOOK,
            )
            self.traffic.count(self.now, int(asked), int(left), int(lent))
            was_paused = self.patience.paused
            self.patience.look(
                self.now, self.lag, self.overdue, self.wanted, self.longest
            )
            self.pauses += self.patience.paused > was_paused

    def until(self, *, paused: bool) -> float:
        """How many seconds pass until refusals pause, or leave again."""
        began = self.now
        while self.patience.paused is not paused:
            self.go_on(LOOK)
            assert self.now - began < 60.0
        return self.now - began

    def pause(self, asking: float) -> float:
        """How long the next pause lasts, if so many ask in it."""
        self.until(paused=True)
        before, self.asking = self.asking, asking
        lasted = self.until(paused=False)
        self.asking = before
        return lasted


@pytest.fixture
def looks() -> Looks:
    return Looks()


def soon(seconds: float) -> object:
    """At the first look after so many."""
    return pytest.approx(seconds + LOOK / 2, abs=LOOK / 2)


# When a pause begins.


@pytest.mark.parametrize(
    ("leaving", "lag", "overdue", "pauses"),
    [
        # As many as are served, and more than three times as many.
        (LENDING, 0.0, 0.0, False),
        (3 * LENDING, 0.0, 0.0, False),
        (250.0, 0.0, 0.0, True),
        # The loop is late.
        (LENDING, 0.003, 0.0, False),
        (LENDING, 0.005, 0.0, True),
        # They pile up.
        (LENDING, 0.0, 0.02, False),
        (LENDING, 0.0, 0.04, True),
        # Nothing can be told of few.
        (38.0, 0.02, 0.04, False),
        (45.0, 0.02, 0.04, True),
    ],
)
def test_refusals_pause_if_they_are_many_or_leave_late(
    looks: Looks, leaving: float, lag: float, overdue: float, pauses: bool
) -> None:
    looks.leaving, looks.lag, looks.overdue = leaving, lag, overdue
    looks.go_on(1.0)
    assert looks.pauses == pauses


def test_a_loop_that_was_late_once_is_not_late(looks: Looks) -> None:
    looks.leaving = LENDING
    looks.go_on(1.0)
    looks.lag = 0.03
    looks.go_on(LOOK)
    looks.lag = 0.0
    looks.go_on(1.0)
    assert not looks.pauses


def test_that_many_are_refused_is_seen_within_the_0_3_s_that_count(
    looks: Looks,
) -> None:
    looks.leaving = LENDING
    looks.go_on(1.0)
    looks.leaving = 4 * LENDING
    assert looks.until(paused=True) <= 0.3


# How long it lasts.


@pytest.mark.parametrize(
    ("asking", "lag", "first", "second", "third"),
    [
        # All go on asking.
        (ASKING, 0.0, 0.2, 0.2, 0.2),
        # More come than before, or the loop is late: it has not got round to all.
        (1.2 * ASKING, 0.0, 0.2, 0.2, 0.2),
        (1.4 * ASKING, 0.0, 1.5, 0.45, 0.2),
        (ASKING, 0.02, 0.2, 0.2, 0.2),
        (ASKING, 0.04, 1.5, 0.45, 0.2),
        # Nor can it be told of a late loop that nobody asks.
        (0.0, 0.04, 1.5, 0.45, 0.2),
    ],
)
def test_a_pause_without_effect_is_longer_if_not_all_have_been_read_yet(
    looks: Looks, asking: float, lag: float, first: float, second: float, third: float
) -> None:
    looks.lag = lag
    looks.overdue = 0.04
    lasted = [looks.pause(asking) for _ in range(3)]
    assert lasted == [soon(first), soon(second), soon(third)]
    assert looks.patience.in_vain
    assert not looks.patience.hold


def test_a_pause_in_which_the_loop_catches_up_ends_a_moment_later(
    looks: Looks,
) -> None:
    looks.until(paused=True)
    looks.lag = 0.04
    looks.go_on(0.5)
    looks.lag = 0.0
    assert looks.until(paused=False) < 0.2


@pytest.mark.parametrize("others", [0.0, 0.3])
def test_a_pause_with_an_effect_ends_as_soon_as_that_is_seen(
    looks: Looks, others: float
) -> None:
    """Less than 0.4 of the requests are left, but for as many as are served."""
    asking = LENDING + others * (ASKING - LENDING)
    assert looks.pause(asking) <= 0.2
    assert looks.patience.hold == 0.5
    assert not looks.patience.in_vain


def test_it_lasts_for_a_moment_though_nobody_asks_from_its_beginning(
    looks: Looks,
) -> None:
    assert looks.pause(0.0) == SHORTEST_PAUSE


def test_a_pause_that_leaves_half_of_the_requests_has_no_effect(looks: Looks) -> None:
    assert looks.pause(LENDING + 0.5 * (ASKING - LENDING)) == soon(0.2)
    assert not looks.patience.hold


def test_where_nobody_asked_before_nobody_was_kept_away(looks: Looks) -> None:
    looks.asking = 0.0
    assert looks.pause(0.0) == soon(0.2)
    assert not looks.patience.hold


def test_a_gap_at_the_end_makes_the_longest_pause_no_longer(looks: Looks) -> None:
    looks.until(paused=True)
    looks.asking = 1.4 * ASKING
    looks.go_on(1.4)
    looks.asking = 0.0
    looks.go_on(0.1)
    assert looks.until(paused=False) <= 2 * LOOK
    assert not looks.patience.hold


# What follows.


@pytest.mark.parametrize(
    ("wanted", "factor"), [(5.0, 1.2), (0.0, 1 / 1.2)], ids=["more", "less"]
)
def test_the_time_changes_by_a_fifth_in_a_tenth_of_a_second(
    looks: Looks, wanted: float, factor: float
) -> None:
    looks.wanted = wanted
    looks.pause(LENDING)
    held = [looks.patience.hold]
    for _ in range(3):
        looks.go_on(6 * LOOK)
        assert looks.patience.hold == held[-1]
        looks.go_on(LOOK)
        held.append(looks.patience.hold)
    assert held == pytest.approx([0.5 * factor**power for power in range(4)])


@pytest.mark.parametrize(
    ("wanted", "longest", "held"), [(0.8, 5.0, 0.8), (3.0, 1.0, 1.0)]
)
def test_refusals_are_held_back_as_long_as_is_wanted_and_no_longer_than_is_allowed(
    looks: Looks, wanted: float, longest: float, held: float
) -> None:
    looks.wanted, looks.longest = wanted, longest
    for _ in range(3):
        looks.pause(LENDING)
        looks.until(paused=True)
    assert looks.patience.hold == held


def test_where_no_time_is_wanted_they_wait_for_the_next_look_at_most(
    looks: Looks,
) -> None:
    looks.wanted = 0.0
    for _ in range(3):
        looks.pause(LENDING)
        looks.until(paused=True)
    assert 0.0 < looks.patience.hold <= 0.02


def test_a_time_that_has_no_effect_is_shortened_and_grows_slowly_from_there(
    looks: Looks,
) -> None:
    looks.wanted = 2.0
    while looks.patience.hold < looks.wanted:
        looks.pause(LENDING)
        looks.go_on(0.25)
    looks.pause(ASKING)
    assert looks.patience.hold == pytest.approx(1.2)
    assert looks.until(paused=True) == soon(0.5)
    assert looks.patience.hold == pytest.approx(1.2)
    for grown in (1.1, 1.21):
        looks.pause(LENDING)
        looks.until(paused=True)
        assert looks.patience.hold == pytest.approx(1.2 * grown)
