"""What the gate's steps cost, and that the length of the queue does not matter.

python -m benchmarks.gate
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import Permit

WAITING = (10, 100, 1_000, 10_000)
ROUNDS = 7
STEPS_A_ROUND = 2_000
LONG = 3_600.0


class Clock:
    """Stands still, so that nobody is too old unless the step says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ignore() -> None:
    """Nobody listens for this waiter."""


def crowded(waiting: int) -> tuple[Gate, Clock]:
    """A gate with one permit, which is held, and so many who wait for it."""
    clock = Clock()
    gate = Gate(1, clock=clock)
    for _ in range(waiting + 1):
        gate.enter(Permit(), LONG, ignore)
    return gate, clock


def grants(gate: Gate, clock: Clock) -> None:
    """One comes, and the permit is handed on to the oldest."""
    for _ in range(STEPS_A_ROUND):
        gate.enter(Permit(), LONG, ignore)
        gate.release(next(iter(gate._held)))


def time_outs(gate: Gate, clock: Clock) -> None:
    """One comes whose time is over before it is served."""
    for _ in range(STEPS_A_ROUND):
        permit = Permit()
        gate.enter(permit, 1e-9, ignore)
        clock.now += 1e-6
        gate.review(permit)


def cancellations(gate: Gate, clock: Clock) -> None:
    """One comes, and goes away."""
    for _ in range(STEPS_A_ROUND):
        permit = Permit()
        gate.enter(permit, LONG, ignore)
        gate.release(permit)


def microseconds(step: Callable[[Gate, Clock], None], waiting: int) -> float:
    """The median of some rounds, per step."""
    gate, clock = crowded(waiting)
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        step(gate, clock)
        times.append(time.process_time() - begin)
    assert gate.waiting == waiting
    return statistics.median(times) / STEPS_A_ROUND * 1e6


def main() -> None:
    table = Table("arrival and ...", *(f"{n:,} waiting" for n in WAITING))
    for name, step in (
        ("grant", grants),
        ("time-out", time_outs),
        ("cancellation", cancellations),
    ):
        costs = [microseconds(step, waiting) for waiting in WAITING]
        table.add_row(name, *(f"{cost:.2f} us" for cost in costs))
    Console().print(table)


if __name__ == "__main__":
    main()
