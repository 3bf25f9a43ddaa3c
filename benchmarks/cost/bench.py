"""What every part of the benchmark gets, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rich.progress import Progress

from benchmarks.contenders import SERVERS, ServerName
from benchmarks.cost.certificate import Certificate
from benchmarks.report import Table
from tests.harness.mariadb import MariaDB

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often everything is done."""

    counted_requests: int = 200
    cycle_rounds: int = 25
    cycle_seconds: float = 0.04
    cpu_rounds: int = 12
    cpu_requests: int = 160
    memory_connections: int = 200
    memory_waiters: int = 200
    thread_clients: int = 100
    thread_seconds: float = 3.0
    growth_rounds: int = 21
    pool_sizes: Sequence[int] = (1, 10, 100, 1_000)
    waiting: Sequence[int] = (0, 10, 1_000, 10_000)
    threads: Sequence[int] = (1, 8, 64)
    ratio_requests: int = 400
    ratio_least: int = 12
    ratio_most: int = 60
    startup_rounds: int = 7
    distant_rounds: int = 5
    distant_requests: int = 150


#: What README's table takes, in five minutes.
SHORT = Effort(cycle_rounds=15, cpu_rounds=6, distant_rounds=3)
QUICK = Effort(
    counted_requests=20,
    cycle_rounds=5,
    cycle_seconds=0.01,
    cpu_rounds=2,
    cpu_requests=60,
    memory_connections=50,
    memory_waiters=50,
    thread_clients=20,
    thread_seconds=0.5,
    growth_rounds=3,
    pool_sizes=(1, 10, 100),
    waiting=(0, 10, 1_000),
    threads=(1, 8),
    ratio_requests=80,
    ratio_least=2,
    ratio_most=3,
    startup_rounds=2,
    distant_rounds=2,
    distant_requests=20,
)


@dataclass(frozen=True, slots=True)
class Bench:
    database: MariaDB
    certificate: Certificate
    progress: Progress
    effort: Effort = Effort()
    servers: Sequence[ServerName] = SERVERS

    def steps(
        self,
        what: str,
        items: Sequence[Item],
        name: Callable[[Item], str] = str,
    ) -> Iterator[Item]:
        """Go through *items* with a bar that tells which one is at work."""
        task = self.progress.add_task(what, total=len(items))
        try:
            for item in items:
                self.progress.update(task, description=f"{what}: {name(item)}")
                yield item
                self.progress.advance(task)
        finally:
            self.progress.remove_task(task)


@dataclass(frozen=True, slots=True)
class Findings:
    """Tables for people; figures for programs, and for the plot."""

    tables: Sequence[Table]
    figures: dict[str, Any] = field(default_factory=dict)


def command(part: str) -> str:
    return f'`make bench ARGS="--only {part}"`'
