"""The header in which a proxy writes when it got the request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooled_db.request.age import OLDEST, age_of

NOW = 1_700_000_002.0


@pytest.mark.parametrize(
    "header",
    [
        "1700000000.000",
        "t=1700000000.0",
        "1700000000",
        "1700000000000",
        "t=1700000000000",
        "1700000000000000",
        "t=1700000000000000",
        " t=1700000000.000 ",
    ],
)
def test_seconds_milliseconds_and_microseconds_are_one_moment(header: str) -> None:
    assert age_of(header, NOW) == pytest.approx(2.0)


@pytest.mark.parametrize("age", [0.001, 0.5, 2.0, 599.0])
def test_an_age_is_told_as_it_is(age: float) -> None:
    assert age_of(f"t={NOW - age:.3f}", NOW) == pytest.approx(age, abs=1e-4)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "yesterday",
        "t=",
        "12",
        "000000012",
        "-1700000000",
        "1e9",
        "nan",
        "t=1700000000, t=1700000001",
        "1700000000.0.0",
        "９７00000000",
        "1" * 40,
    ],
)
def test_nonsense_is_no_age(header: str | None) -> None:
    assert age_of(header, NOW) == 0.0


def test_a_time_in_the_future_is_no_age() -> None:
    assert age_of(str(NOW + 30), NOW) == 0.0


def test_a_clock_that_is_far_off_is_no_age() -> None:
    assert age_of(str(NOW - OLDEST - 1), NOW) == 0.0


def test_ten_minutes_are_an_age_and_more_are_none() -> None:
    assert age_of(str(NOW - 600.0), NOW) == 600.0
    assert age_of(str(NOW - 600.5), NOW) == 0.0


@given(st.text())
def test_whatever_a_client_sends_is_an_age_within_bounds(header: str) -> None:
    assert 0.0 <= age_of(header, NOW) <= OLDEST
