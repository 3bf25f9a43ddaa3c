"""How long the tests wait for what must come."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.clock import Clock
from tests.harness.processes import LONGEST_LOOK, completed, poll


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between looks, in seconds; the last is that of all that follow."""
    clock = Clock()
    pauses = [0.01]

    def sleep(seconds: float) -> None:
        clock.now += pauses.pop(0) if len(pauses) > 1 else pauses[0]

    time = SimpleNamespace(monotonic=clock, sleep=sleep)
    monkeypatch.setattr("tests.harness.processes.time", time)
    return pauses


def test_what_never_comes_is_given_up_in_time(looks: list[float]) -> None:
    look = itertools.count()
    assert not poll(lambda: next(look) < 0, 1.0)
    assert next(look) == pytest.approx(100, abs=3)


def test_a_machine_that_stood_still_is_not_held_against_who_is_looked_at(
    looks: list[float],
) -> None:
    looks[:0] = [300.0, 300.0]
    look = itertools.count()
    assert poll(lambda: next(look) == 10, 2 * LONGEST_LOOK + 0.1)


def test_a_program_that_does_not_end_is_killed() -> None:
    command = [
        sys.executable,
        "-c",
        "import time; print(1, flush=True); time.sleep(99)",
    ]
    with pytest.raises(subprocess.TimeoutExpired):
        completed(command, env={**os.environ}, seconds=2 * LONGEST_LOOK)


def test_a_program_that_ends_late_has_said_all_that_it_said() -> None:
    program = "import sys, time; print(1, flush=True); time.sleep(0.6); sys.exit('2')"
    done = completed([sys.executable, "-c", program], env={**os.environ})
    assert (done.returncode, done.stdout, done.stderr) == (1, "1\n", "2\n")
