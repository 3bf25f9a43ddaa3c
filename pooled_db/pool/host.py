"""The pools of all processes of this host, as their state files tell of them.

``look(directory)`` is all that a table, a dashboard or an exporter needs. It takes no
lock that a process could hold while it hangs, asks no process and no server, and can be
done while every pool is exhausted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..driver.slot import OUTSIDE
from .ended import fold, mark, read_base, together
from .numbers import to_stats
from .reading import Counts, Held, StateFile, paths, read
from .state_file import SUFFIX
from .stats import PoolStats, total

#: How often a look begins anew, if processes keep ending meanwhile.
TRIES = 10


@dataclass(frozen=True, slots=True)
class ProcessPool:
    """One alias in one process: its numbers, its connections, and its settings."""

    alias: str
    stats: PoolStats
    connections: tuple[Held, ...]
    settings: dict[str, Any]

    @property
    def loans(self) -> list[Held]:
        """The connections that are lent, the longest first."""
        lent = [held for held in self.connections if held.lent is not None]
        return sorted(lent, key=lambda held: -(held.lent or 0.0))


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is alive, be it frozen. ``started`` is on the wall clock."""

    pid: int
    host: str
    program: str
    started: float
    pools: dict[str, ProcessPool]


@dataclass(frozen=True, slots=True)
class Host:
    """All processes that keep their state in one directory, the oldest first.

    ``ended`` has the sums of those that have ended, by alias.
    """

    processes: tuple[Process, ...] = ()
    ended: dict[str, PoolStats] = field(default_factory=dict)

    def totals(self) -> dict[str, PoolStats]:
        """The numbers of all processes, by alias; what is counted never goes back."""
        stats: dict[str, list[PoolStats]] = {
            alias: [ended] for alias, ended in self.ended.items()
        }
        for process in self.processes:
            for alias, pool in process.pools.items():
                stats.setdefault(alias, []).append(pool.stats)
        return {alias: total(stats[alias]) for alias in sorted(stats)}


def look(directory: Path) -> Host:
    """Read the state of all pools of *directory*, and fold what has ended.

    A directory that is not there has none. Raises OSError if it cannot be read.
    """
    fold(directory)
    ended, files = _consistent(directory)
    dead = [file for file in files if not file.alive]
    return Host(
        _processes(file for file in files if file.alive),
        {alias: to_stats(numbers) for alias, numbers in together(ended, dead).items()},
    )


def _consistent(directory: Path) -> tuple[dict[str, Counts], list[StateFile]]:
    """Read base and files so that nothing is in both and nothing in neither."""
    for _ in range(TRIES):
        before = mark(directory)
        sums, folded = read_base(directory)
        left = [one for one in paths(directory, SUFFIX) if one.name not in folded]
        files = [file for file in map(read, left) if file is not None]
        if mark(directory) == before:
            break
    return sums, files


def _processes(files: Iterable[StateFile]) -> tuple[Process, ...]:
    found: dict[tuple[str, int, float], Process] = {}
    for file in files:
        head = file.head
        # Its host as well: in containers that share the directory two may be alike.
        key = head["host"], head["pid"], head["process"]
        process = found.setdefault(
            key,
            Process(head["pid"], head["host"], head["program"], head["process"], {}),
        )
        alias = head["alias"]
        pool = _pool(file)
        if alias in process.pools:
            # One that was disposed of, and still has connections out.
            pool = _merged(process.pools[alias], pool)
        process.pools[alias] = pool
    return tuple(sorted(found.values(), key=lambda one: (one.started, one.pid)))


def _pool(file: StateFile) -> ProcessPool:
    numbers, held = file.numbers, file.connections
    in_use = [one for one in held if one.lent is not None]
    by_transaction = file.head["settings"].get("hold") == "transaction"
    oldest = numbers.get("oldest", 0.0)
    stats = to_stats(
        numbers,
        in_use=len(in_use),
        at_work=sum(one.state == "at work" for one in in_use),
        on_call=sum(
            one.state == "ready"
            or (one.state == "at rest" and (by_transaction or _is_outsiders(one)))
            for one in in_use
        ),
        idle=len(held) - len(in_use),
        waiting=int(numbers.get("waiting", 0)),
        oldest_wait=max(0.0, time.monotonic() - oldest) if oldest else 0.0,
        overloaded=bool(numbers.get("overloaded", 0)),
    )
    return ProcessPool(file.head["alias"], stats, held, file.head["settings"])


def _is_outsiders(held: Held) -> bool:
    return held.who.startswith(OUTSIDE)


def _merged(one: ProcessPool, other: ProcessPool) -> ProcessPool:
    return ProcessPool(
        one.alias,
        total((one.stats, other.stats)),
        (*one.connections, *other.connections),
        other.settings,
    )
