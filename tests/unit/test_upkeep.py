"""The thread that looks after pools: when, and what it does after a mistake."""

from __future__ import annotations

import threading
import weakref
from typing import Any

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


@pytest.mark.parametrize("arranged", [(5.0, 10.0), (10.0, 5.0)])
def test_the_earliest_of_what_was_arranged_is_done(
    upkeep: Upkeep, clock: Clock, arranged: tuple[float, float]
) -> None:
    kept = Kept()
    for seconds in arranged:
        upkeep.watch(kept, clock.now + seconds)
    clock.now += 5.0
    until_now(upkeep, clock)
    assert kept.looks == [1005.0]


def test_no_process_is_kept_from_ending(upkeep: Upkeep, clock: Clock) -> None:
    upkeep.watch(Kept(), clock.now + 5.0)
    assert upkeep._thread is not None
    assert upkeep._thread.daemon


def test_a_thread_that_could_not_begin_begins_the_next_time(
    upkeep: Upkeep, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    kept = Kept()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        upkeep.watch(kept, clock.now)
    until_now(upkeep, clock)
    assert kept.looks == [1000.0]


def test_a_pool_that_nobody_wants_any_more_is_not_kept(clock: Clock) -> None:
    kept: list[Kept] = []
    seen: list[Kept | None] = []
    all_seen = threading.Event()

    class Last(Kept):
        def look_after(self, now: float) -> None:
            kept.clear()

    class Seen(Upkeep):
        def _next(self) -> Any:
            if not kept:
                seen.append(last())
                all_seen.set()
            return super()._next()

    kept.append(Last())
    last = weakref.ref(kept[0])
    Seen(clock).watch(kept[0], clock.now)
    assert all_seen.wait(PATIENCE)
    assert seen == [None]


def test_a_pool_that_is_to_be_looked_after_later_is_not_kept_until_then(
    upkeep: Upkeep, clock: Clock
) -> None:
    kept = [Kept()]
    last = weakref.ref(kept[0])
    seen: list[Kept | None] = []
    all_seen = threading.Event()

    class Waited(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            kept.clear()
            seen.append(last())
            all_seen.set()
            return True

    upkeep._changed = Waited(threading.Lock())
    upkeep.watch(kept[0], clock.now + 60.0)
    assert all_seen.wait(PATIENCE)
    assert seen == [None]
