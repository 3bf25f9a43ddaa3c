"""How fast refusals may leave, on virtual clocks."""

from __future__ import annotations

import pytest

from pooled_db.request.pace import BUSY, LEAST, LOOK, Pace


class Machine:
    """A wall clock and a CPU clock that only move when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cpu = 0.0
        self.pace = Pace(lambda: self.now, lambda: self.cpu)

    def work(self, seconds: float, share: float, refusals_per_second: float) -> float:
        """Let time pass at that load; return the longest delay of a refusal."""
        longest = 0.0
        step = 1.0 / refusals_per_second
        for _ in range(int(seconds * refusals_per_second)):
            self.now += step
            self.cpu += step * share
            longest = max(longest, self.pace.delay(5.0))
        return longest


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_refusals_leave_at_once_while_the_process_is_not_busy(
    machine: Machine,
) -> None:
    assert machine.work(10.0, share=BUSY - 0.05, refusals_per_second=1000) == 0.0


def test_refusals_are_spaced_out_while_the_process_is_busy(machine: Machine) -> None:
    machine.work(0.5, share=1.0, refusals_per_second=1000)

    first = machine.pace.delay(5.0)
    second = machine.pace.delay(5.0)

    assert first > 0.0
    assert second > first


def test_no_refusal_is_held_for_longer_than_asked(machine: Machine) -> None:
    machine.work(5.0, share=1.0, refusals_per_second=1000)

    assert machine.pace.delay(0.25) == 0.25
    assert machine.pace.delay(0.0) == 0.0


def test_some_refusals_leave_however_busy_the_process_is(machine: Machine) -> None:
    machine.work(30.0, share=1.0, refusals_per_second=100)
    machine.now += 60.0

    spacing = machine.pace.delay(60.0), machine.pace.delay(60.0)

    assert spacing[1] - spacing[0] <= 1.0 / LEAST


def test_the_spacing_ends_when_the_process_is_no_longer_busy(machine: Machine) -> None:
    machine.work(3.0, share=1.0, refusals_per_second=1000)
    machine.work(30.0, share=0.1, refusals_per_second=100)

    assert machine.work(1.0, share=0.1, refusals_per_second=100) == 0.0


def test_work_before_the_first_refusal_does_not_count(machine: Machine) -> None:
    machine.now += 100.0
    machine.cpu += 100.0

    assert machine.pace.delay(5.0) == 0.0
    machine.now += LOOK / 2
    assert machine.pace.delay(5.0) == 0.0


def test_whoever_is_held_back_is_let_go_when_the_process_is_idle(
    machine: Machine,
) -> None:
    machine.work(3.0, share=1.0, refusals_per_second=1000)
    assert machine.pace.delay(5.0) > 0.0
    machine.now += 20 * LOOK

    assert machine.pace._is_over()
    assert machine.pace.delay(5.0) == 0.0
