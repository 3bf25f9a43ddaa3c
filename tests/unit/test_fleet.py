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


def four(capacity: int, *, late: float = 0.0) -> Fleet:
    """Four processes on a budget of 20, two of which may come late."""
    early, later = (0.0, FOREVER), (late, FOREVER)
    return Fleet("four", (early, early, later, later), capacity, 20, 15)


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

    assert seen.shares[4][:2] == [10, 10]
    for late in (2, 3):
        assert seen.first_good[late] < 15.0
        assert share_of(seen, late) >= SHARE / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fleet_that_fits_turns_little_over(seed: int) -> None:
    seen = play(four(5), seed)

    assert not seen.refused
    assert sum(seen.opened.values()) < 20 + 2 * 60
