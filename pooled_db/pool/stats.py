"""What a pool tells of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: The upper bounds of the histograms' buckets but the last, in seconds.
BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)


def added(one: float, other: float) -> float:
    """Add seconds up, in whole microseconds: so their order makes no difference.

    Otherwise a sum could go back by a bit when a process has ended.
    """
    return (round(one * 1e6) + round(other * 1e6)) / 1e6


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took, and how often. Times are in seconds.

    ``counts[i]`` is how often it took no longer than ``bounds[i]`` and longer than the
    bound before; the last counts what took longer than all of them.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    sum: float = 0.0
    bounds: tuple[float, ...] = BOUNDS

    @property
    def count(self) -> int:
        """How often it happened."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """How long it took on average; 0 if it never happened."""
        return self.sum / self.count if self.count else 0.0

    def __add__(self, other: Histogram) -> Histogram:
        counts = zip(self.counts, other.counts, strict=True)
        return Histogram(
            tuple(map(sum, counts)), added(self.sum, other.sum), self.bounds
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """What a pool is doing at one moment, and has done since it was made.

    Now: ``limit`` is the most connections there can be, ``granted`` how many of them
    the server grants, as far as is known, ``in_use`` how many are lent, ``at_work`` how
    many of these somebody works with, ``on_call`` how many nobody works with and
    whoever waits gets; ``idle`` how many lie in the pool, ``waiting`` how many queue
    for one, and ``oldest_wait`` for how many seconds the first of them has.
    ``overloaded`` says whether the queue is being shed.

    Since it was made: ``peak`` is the most that were lent at once; ``opened``,
    ``checkouts``, ``resets`` and ``called_back`` count connections opened, lent, made
    as new and taken back at rest for others; ``refused`` counts requests without a
    connection, ``refused_by`` the same by reason, and ``closed`` connections by what
    they were closed for.

    ``waits`` is how long those that got a connection stood in line, ``uses`` how long
    they had it, and ``connects`` how long it took to open one.
    """

    limit: int = 0
    granted: int = 0
    in_use: int = 0
    at_work: int = 0
    on_call: int = 0
    idle: int = 0
    waiting: int = 0
    oldest_wait: float = 0.0
    overloaded: bool = False
    peak: int = 0
    opened: int = 0
    checkouts: int = 0
    resets: int = 0
    called_back: int = 0
    refused: int = 0
    refused_by: Mapping[str, int] = dataclasses.field(default_factory=dict)
    closed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    waits: Histogram = Histogram()
    uses: Histogram = Histogram()
    connects: Histogram = Histogram()

    @property
    def at_rest(self) -> int:
        """How many are lent and nobody works with."""
        return self.in_use - self.at_work


def total(stats: Iterable[PoolStats]) -> PoolStats:
    """Add the numbers of several pools up: of several processes, or of the past.

    ``oldest_wait`` is the longest of them, and ``overloaded`` whether any of them is.
    ``peak`` is added up, too: the most there can have been at once.
    """
    whole = PoolStats()
    for one in stats:
        together: dict[str, Any] = {
            field.name: _together(getattr(whole, field.name), getattr(one, field.name))
            for field in dataclasses.fields(PoolStats)
        }
        whole = PoolStats(**together)
    return whole


def _together(one: Any, other: Any) -> Any:
    if isinstance(one, bool):
        return one or other
    if isinstance(one, float):
        return max(one, other)
    if isinstance(one, Mapping):
        return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
    return one + other
