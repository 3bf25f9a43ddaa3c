"""A figure that was measured in several rounds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key")


def in_turn(keys: Sequence[Key], rounds: int) -> Iterator[Key]:
    """Each of *keys* once a round, each round beginning with another.

    What disturbs the machine for a while so meets them all.
    """
    for number in range(rounds):
        yield from one_round(keys, number)


def one_round(keys: Sequence[Key], number: int) -> Sequence[Key]:
    """The order of *keys* in the round of that *number*."""
    start = number % len(keys)
    return (*keys[start:], *keys[:start])


#: How many standard errors are on either side of a mean in 95 of 100 cases.
CERTAIN = statistics.NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the mean is, with 95 % certainty."""

    mean: float
    low: float
    high: float


def interval(ratios: Sequence[float]) -> Interval:
    """Return the geometric mean of at least two *ratios*, and its interval."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    error = CERTAIN * statistics.stdev(logs) / math.sqrt(len(logs))
    return Interval(math.exp(mean), math.exp(mean - error), math.exp(mean + error))


@dataclass(frozen=True, slots=True)
class Spread:
    """The rounds' values; told as their median and the quartiles around it."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def best(self) -> float:
        """The round that was disturbed least, as timeit's documentation advises."""
        return min(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.values) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    def __truediv__(self, other: Spread) -> Spread:
        """Round by round, so that what disturbed a round cancels out."""
        return Spread(
            tuple(a / b for a, b in zip(self.values, other.values, strict=True))
        )

    def __mul__(self, factor: float) -> Spread:
        return Spread(tuple(value * factor for value in self.values))

    def text(self, form: str = ".1f") -> str:
        low, high = self.quartiles
        return f"{self.median:{form}} ({low:{form}} to {high:{form}})"
