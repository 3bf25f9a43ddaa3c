"""Rates told from what was counted so far."""

from __future__ import annotations

import pytest

from pooled_db.request.traffic import BEAT, WEIGHT, Traffic


def count(traffic: Traffic, seconds: float, *, lent: float = 50.0) -> None:
    """Count 100 a second who ask, 20 who are refused, and *lent* connections."""
    traffic.begin(0.0, 7)
    for beat in range(1, round(seconds / BEAT) + 1):
        now = beat * BEAT
        traffic.count(now, round(100 * now), 7 + round(20 * now), round(lent * now))


def test_rates_are_of_the_latest_seconds_alone() -> None:
    traffic = Traffic(1.0)
    count(traffic, 0.5)
    traffic.count(0.6, 51, 17, 25)

    assert traffic.rates(0.1) == pytest.approx((10.0, 0.0, 0.0))
    assert traffic.rates(0.6) == pytest.approx((85.0, 10 / 0.6, 25 / 0.6))
    assert traffic.rates(60.0) == traffic.rates(0.6)


def test_nothing_is_told_of_a_single_moment() -> None:
    traffic = Traffic(1.0)
    traffic.begin(5.0, 3)

    assert traffic.rates(1.0) == (0.0, 0.0, 0.0)


def test_what_is_older_than_its_memory_is_forgotten() -> None:
    traffic = Traffic(0.4)
    count(traffic, 1.0)

    assert traffic.since == pytest.approx(0.6, abs=BEAT)


def test_the_mean_follows_slowly_and_outlasts_an_end() -> None:
    traffic = Traffic(1.0)
    count(traffic, BEAT)
    assert traffic.lending == pytest.approx(50.0 * WEIGHT)

    count(traffic, 10.0)
    known = traffic.lending
    assert known == pytest.approx(50.0, rel=0.05)
    traffic.end()
    assert traffic.lending == known


def test_a_pool_that_counts_anew_takes_nothing_back() -> None:
    traffic = Traffic(1.0)
    traffic.begin(0.0, 0)
    traffic.count(BEAT, 0, 0, 3)
    known = traffic.lending
    traffic.count(2 * BEAT, 0, 0, 1)
    assert traffic.lending == pytest.approx(known * (1 - WEIGHT))


def test_where_nobody_is_served_nobody_is_counted() -> None:
    traffic = Traffic(1.0)
    count(traffic, 1.0, lent=0.0)
    assert traffic.lending == 0.0
