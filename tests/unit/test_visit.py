"""What people do in the demo, on a virtual clock."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import pytest

from demo.rush.visit import Doing, Load, Page, Pause, Person, crowd

PERSON = Person(
    arrives=0.0,
    choosing=2.0,
    before_trying_again=3.0,
    patience_for_a_page=10.0,
    patience_in_all=30.0,
)

Answer = Callable[[float], Page]


def good(now: float) -> Page:
    return Page(200, took=0.5)


def busy(now: float) -> Page:
    return Page(503, took=0.25, retry_after=4.0)


def busy_for_good(now: float) -> Page:
    """As if something may have been done already: no Retry-After."""
    return Page(503, took=0.25)


def error(now: float) -> Page:
    return Page(500, took=0.25)


def no_answer(now: float) -> Page:
    return Page(None, took=0.0)


def never(now: float) -> Page:
    return Page(200, took=math.inf)


class Visited:
    """A visit carried out on a clock that jumps from one step to the next.

    Answers come in the order given, and the last of them again and again.
    """

    def __init__(self, answers: Sequence[Answer], person: Person = PERSON) -> None:
        self.now = 0.0
        self.steps: list[tuple[float, Load | Pause]] = []
        left = list(answers)
        visit = person.visit()
        seen: Page | None = None
        while True:
            try:
                step = visit.send(seen)
            except StopIteration as end:
                self.ending: Doing = end.value
                return
            self.steps.append((self.now, step))
            seen = None
            if isinstance(step, Pause):
                self.now += step.seconds
            else:
                seen = (left.pop(0) if len(left) > 1 else left[0])(self.now)
                if seen.took > step.patience:
                    seen = Page(None, took=step.patience, late=True)
                self.now += seen.took

    @property
    def pages(self) -> list[str]:
        return [step.page for _, step in self.steps if isinstance(step, Load)]

    @property
    def pauses(self) -> list[tuple[Doing, float]]:
        return [(s.doing, s.seconds) for _, s in self.steps if isinstance(s, Pause)]


def test_a_visit_is_to_look_choose_and_buy() -> None:
    visited = Visited([good])
    assert visited.ending is Doing.BOUGHT
    assert visited.pages == ["list", "buy"]
    assert visited.pauses == [(Doing.CHOOSING, 2.0)]
    assert visited.now == 3.0


def test_who_is_asked_to_wait_comes_back_when_told() -> None:
    visited = Visited([busy, busy, good])
    assert visited.ending is Doing.BOUGHT
    assert visited.pages == ["list", "list", "list", "buy"]
    assert visited.pauses[:2] == [(Doing.ASKED_TO_WAIT, 4.0)] * 2


def test_who_is_asked_to_wait_for_too_long_leaves_when_patience_ends() -> None:
    visited = Visited([busy])
    assert visited.ending is Doing.TIRED
    assert visited.now == PERSON.patience_in_all


@pytest.mark.parametrize("bad", [error, no_answer, busy_for_good])
def test_an_error_page_is_tried_again_twice(bad: Answer) -> None:
    visited = Visited([good, bad, bad, good])
    assert visited.ending is Doing.BOUGHT
    assert visited.pages == ["list", "buy", "buy", "buy"]
    assert visited.pauses[1:] == [(Doing.AT_AN_ERROR, 3.0)] * 2


@pytest.mark.parametrize("bad", [error, no_answer, busy_for_good])
def test_the_third_error_page_is_the_last(bad: Answer) -> None:
    visited = Visited([bad])
    assert visited.ending is Doing.PUT_OFF
    assert visited.pages == ["list"] * 3


@pytest.mark.parametrize("between", [good, busy])
def test_only_errors_in_a_row_put_off(between: Answer) -> None:
    visited = Visited([error, error, between, error, error, good])
    assert visited.ending is Doing.BOUGHT


def test_a_page_that_does_not_come_is_left() -> None:
    visited = Visited([good, never])
    assert visited.ending is Doing.TIRED
    assert visited.now == 0.5 + 2.0 + PERSON.patience_for_a_page


def test_a_page_that_is_about_to_come_is_not_left_for_what_was_before() -> None:
    six_times_busy = [busy] * 6  # after which 4.5 s of 30 are left
    visited = Visited([*six_times_busy, lambda now: Page(200, took=9.0), good])
    assert visited.ending is Doing.BOUGHT


def test_the_deaf_take_a_503_for_an_error_page() -> None:
    deaf = dataclasses.replace(PERSON, heeds_retry_after=False)
    assert Visited([busy], deaf).ending is Doing.PUT_OFF
    assert Visited([busy], deaf).pages == ["list"] * 3
    assert not any(one.heeds_retry_after for one in crowd(9, 1.0, seed=1, deaf=True))


def test_choosing_is_no_waiting() -> None:
    slow_to_choose = dataclasses.replace(PERSON, choosing=1000.0)
    assert Visited([good], slow_to_choose).ending is Doing.BOUGHT


def test_every_site_is_visited_by_the_same_people() -> None:
    assert list(crowd(50, 30.0, seed=1)) == list(crowd(50, 30.0, seed=1))
    assert list(crowd(50, 30.0, seed=1)) != list(crowd(50, 30.0, seed=2))


def test_people_come_in_order_and_most_at_the_opening() -> None:
    arrivals = [person.arrives for person in crowd(2000, 30.0, seed=1)]
    assert arrivals == sorted(arrivals)
    assert 0 <= arrivals[0] <= arrivals[-1] <= 30
    in_the_first_fifth = sum(at < 6 for at in arrivals) / len(arrivals)
    assert in_the_first_fifth == pytest.approx(16 / 31, abs=0.05)
