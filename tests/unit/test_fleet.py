"""Many processes on one server's budget, simulated with the library's own parts."""

from __future__ import annotations

import statistics

import pytest

from benchmarks.simulation.fleet import Fleet, Seen, Simulated

FOREVER = float("inf")
SEEDS = range(3)
SHARE = 5.0
#: Seconds after which shares are judged.
SETTLED = 15


def play(fleet: Fleet, seed: int) -> Seen:
    return Simulated(fleet, seed).run()


def share_of(seen: Seen, process: int) -> float:
    return statistics.mean(shares[process] for shares in seen.shares[SETTLED:])


def good_per_second(seen: Seen) -> float:
    return statistics.mean(seen.good[second] for second in range(SETTLED, 59))


def four(capacity: int, *, late: float = 0.0, hosts: int = 0) -> Fleet:
    """Four processes on a budget of 20, two of which may come late."""
    early, later = (0.0, FOREVER), (late, FOREVER)
    lives = (early, early, later, later)
    return Fleet("four", lives, capacity, 20, 15, hosts=hosts)


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_that_want_too_much_share_it(seed: int) -> None:
    sized, wanting = play(four(5), seed), play(four(10), seed)

    assert min(share_of(wanting, process) for process in range(4)) >= SHARE / 2
    assert good_per_second(wanting) >= 0.97 * good_per_second(sized)
    assert wanting.refused["unavailable"] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_that_come_late_get_their_share(seed: int) -> None:
    """The early ones have everything, and have never been refused."""
    seen = play(four(10, late=5.0), seed)

    assert sum(seen.shares[4][:2]) >= 16
    for late in (2, 3):
        assert seen.first_good[late] < 15.0
        assert share_of(seen, late) >= SHARE / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fleet_that_fits_turns_little_over(seed: int) -> None:
    seen = play(four(5), seed)

    assert not seen.refused
    assert sum(seen.opened.values()) < 20 + 2 * 60


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_of_one_host_have_equal_shares_and_keep_them(seed: int) -> None:
    apart, together = play(four(10), seed), play(four(10, hosts=1), seed)

    for process in range(4):
        assert share_of(together, process) >= 0.85 * SHARE
    assert good_per_second(together) >= 0.99 * good_per_second(play(four(5), seed))
    assert sum(together.opened.values()) < 0.7 * sum(apart.opened.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_of_one_host_that_come_late_are_not_refused(seed: int) -> None:
    """Those who have everything see that they are there, and give them half."""
    seen = play(four(10, late=5.0, hosts=1), seed)

    assert not seen.refused["unavailable"]
    for late in (2, 3):
        assert seen.first_good[late] < 7.0
        assert seen.shares[12][late] >= SHARE - 1


def test_hosts_share_though_they_see_only_their_own() -> None:
    """Two hosts of two; those of one have everything when the others come."""
    lives = ((0.0, FOREVER), (5.0, FOREVER), (0.0, FOREVER), (5.0, FOREVER))
    seen = play(Fleet("two hosts", lives, 10, 20, 15, hosts=2), 1)

    for process in range(4):
        assert share_of(seen, process) >= SHARE / 2


def test_a_process_without_room_waits_before_it_refuses() -> None:
    """Whoever has the only connection keeps it; the other's requests wait 5 s at most.

    Its clients come back after one to two seconds.
    """
    lives = ((0.0, FOREVER), (5.0, FOREVER))
    seen = play(Fleet("one for two", lives, 10, 1, 3, duration=20.0), 1)

    assert seen.first_refused_as["unavailable"] == pytest.approx(10.0, abs=0.7)
