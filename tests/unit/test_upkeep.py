"""The thread that looks after pools: when, and what it does after a mistake."""

from __future__ import annotations

import threading

import pytest

from pooled_db.pool.upkeep import Upkeep
from tests.clock import Clock
from tests.gates import PATIENCE


class Kept:
    """A pool that is to be looked after again and again."""

    alias = "default"

    def __init__(self, again: float | None = None) -> None:
        self._again = again
        self.looks: list[float] = []
        self.looked = threading.Event()

    def look_after(self, now: float) -> float | None:
        self.looks.append(now)
        self.looked.set()
        return None if self._again is None else now + self._again


class Failing(Kept):
    def look_after(self, now: float) -> float | None:
        super().look_after(now)
        raise ValueError("a mistake")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upkeep(clock: Clock) -> Upkeep:
    return Upkeep(clock)


def until_now(upkeep: Upkeep, clock: Clock) -> None:
    """Let all be done that is due."""
    last = Kept()
    upkeep.watch(last, clock.now)
    assert last.looked.wait(PATIENCE)


def test_after_a_mistake_the_next_attempt_is_a_minute_later(
    upkeep: Upkeep, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    failing, other = Failing(), Kept(10.0)
    upkeep.watch(failing, clock.now)
    upkeep.watch(other, clock.now)
    for _ in range(7):
        until_now(upkeep, clock)
        clock.now += 10.0
    assert failing.looks == [1000.0, 1060.0]
    assert other.looks == [1000.0 + 10.0 * number for number in range(7)]
    # The line that docs/reference/log.md has.
    assert caplog.messages == ["The upkeep of 'default' failed; it goes on."] * 2


def test_what_was_arranged_before_is_not_put_off(upkeep: Upkeep, clock: Clock) -> None:
    kept = Kept()
    upkeep.watch(kept, clock.now + 5.0)
    upkeep.watch(kept, clock.now + 10.0)
    clock.now += 5.0
    until_now(upkeep, clock)
    assert kept.looks == [1005.0]


def test_no_process_is_kept_from_ending(upkeep: Upkeep, clock: Clock) -> None:
    upkeep.watch(Kept(), clock.now + 5.0)
    assert upkeep._thread is not None
    assert upkeep._thread.daemon
