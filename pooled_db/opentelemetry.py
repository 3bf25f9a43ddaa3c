"""The pools of a process as OpenTelemetry has them: ``pooled-db[opentelemetry]``.

``opentelemetry-instrument`` finds the instrumentor by its entry point. The SDK is
called when it collects and not by requests: a measurement costs it 5 to 20 us.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry import metrics
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)
from opentelemetry.metrics import CallbackOptions, Observation

from .fork import in_child
from .pool.stats import BOUNDS, Histogram, PoolStats

PREFIX = "db.client.connection"
#: https://opentelemetry.io/docs/specs/semconv/database/database-metrics/#connection-pools
SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
POOL_NAME = f"{PREFIX}.pool.name"
STATE = f"{PREFIX}.state"
REASON = "pooled_db.reason"

Callback = Callable[[CallbackOptions], Iterable[Observation]]


class PooledDBInstrumentor(BaseInstrumentor):  # type: ignore[misc,unused-ignore]
    """Exports the numbers of this process's pools."""

    def instrumentation_dependencies(self) -> Collection[str]:
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        meter = metrics.get_meter(
            "pooled_db", schema_url=SCHEMA, meter_provider=kwargs.get("meter_provider")
        )
        _Metrics(meter)

    def _uninstrument(self, **kwargs: Any) -> None:
        """Leave it: a meter's instruments are there for good."""


@dataclass(frozen=True, slots=True)
class _Times:
    """One histogram of the SDK, and what it has been told by alias."""

    instrument: metrics.Histogram
    field: str
    told: dict[str, Histogram]

    def tell(self, alias: str, stats: PoolStats) -> None:
        """Record what has been added since the last time."""
        now: Histogram = getattr(stats, self.field)
        before = self.told.get(alias, Histogram())
        if now.count < before.count:
            before = Histogram()  # another pool has taken its place
        self.told[alias] = now
        counts = [a - b for a, b in zip(now.counts, before.counts, strict=True)]
        for seconds, count in _spread(counts, now.sum - before.sum):
            for _ in range(count):
                self.instrument.record(seconds, {POOL_NAME: alias})


def _spread(counts: list[int], total: float) -> Iterator[tuple[float, int]]:
    """Find a time in each bucket so that all of them add up to *total*."""
    lows = (0.0, *BOUNDS)
    least = sum(low * count for low, count in zip(lows, counts, strict=True))
    # The last bucket has no upper bound: it takes what is left.
    widths = [high - low for low, high in zip(lows, BOUNDS, strict=False)]
    room = sum(width * count for width, count in zip(widths, counts, strict=False))
    left = max(0.0, total - least)
    share = min(1.0, left / room) if room else 0.0
    # Whoever did not wait at all has waited for nothing.
    if counts[-1]:
        share = min(share, 0.5)
        widths.append((left - share * room) / counts[-1])
    else:
        widths.append(0.0)
    for low, width, count in zip(lows, widths, counts, strict=True):
        yield low + (share if low < BOUNDS[-1] else 1.0) * width, count


Read = Callable[[PoolStats], list[tuple[int, dict[str, str]]]]


def _count(stats: PoolStats) -> list[tuple[int, dict[str, str]]]:
    return [(stats.idle, {STATE: "idle"}), (stats.in_use, {STATE: "used"})]


def _limit(stats: PoolStats) -> list[tuple[int, dict[str, str]]]:
    return [(stats.limit, {})]


def _no_minimum(stats: PoolStats) -> list[tuple[int, dict[str, str]]]:
    return [(0, {})]


def _waiting(stats: PoolStats) -> list[tuple[int, dict[str, str]]]:
    return [(stats.waiting, {})]


def _timeouts(stats: PoolStats) -> list[tuple[int, dict[str, str]]]:
    return [(stats.refused_by["timeout"], {})]


def _refused(stats: PoolStats) -> list[tuple[int, dict[str, str]]]:
    return [(count, {REASON: reason}) for reason, count in stats.refused_by.items()]


#: The histograms, in seconds: by name the field of `PoolStats`, and the convention's
#: words.
_TIMES_OF: dict[str, tuple[str, str]] = {
    "create_time": ("connects", "The time it took to create a new connection."),
    "wait_time": (
        "waits",
        "The time it took to obtain an open connection from the pool.",
    ),
    "use_time": ("uses", "The time between borrowing a connection and returning it."),
}
#: What is true of one moment: by name the unit, the convention's words, and the value.
_LEVELS: dict[str, tuple[str, str, Read]] = {
    "count": (
        "{connection}",
        "The number of connections in the state that the attribute describes.",
        _count,
    ),
    "max": (
        "{connection}",
        "The maximum number of open connections allowed.",
        _limit,
    ),
    "idle.max": (
        "{connection}",
        "The maximum number of idle open connections allowed.",
        _limit,
    ),
    "idle.min": (
        "{connection}",
        "The minimum number of idle open connections allowed.",
        _no_minimum,
    ),
    "pending_requests": (
        "{request}",
        "The number of current pending requests for an open connection.",
        _waiting,
    ),
}


class _Metrics:
    """The instruments of *meter*, and what they are told when it collects."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._times = [
            _Times(_histogram(meter, name, words), field, {})
            for name, (field, words) in _TIMES_OF.items()
        ]
        in_child(self._forget)
        for name, (unit, words, read) in _LEVELS.items():
            meter.create_observable_up_down_counter(
                f"{PREFIX}.{name}", [_observing(read)], unit, words
            )
        meter.create_observable_counter(
            f"{PREFIX}.timeouts",
            [_observing(_timeouts), self._tell],
            "{timeout}",
            "The number of connection timeouts that have occurred trying to obtain a "
            "connection from the pool.",
        )
        meter.create_observable_counter(
            "pooled_db.refused",
            [_observing(_refused)],
            "{request}",
            "Requests that got no connection, by reason.",
        )

    def _tell(self, options: CallbackOptions) -> Iterable[Observation]:
        for alias, stats in _stats().items():
            for times in self._times:
                times.tell(alias, stats)
        return ()

    def _forget(self) -> None:
        for times in self._times:
            times.told.clear()


def _histogram(meter: metrics.Meter, name: str, words: str) -> metrics.Histogram:
    return meter.create_histogram(
        f"{PREFIX}.{name}", "s", words, explicit_bucket_boundaries_advisory=BOUNDS
    )


def _observing(read: Read) -> Callback:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value, {POOL_NAME: alias, **attributes})
            for alias, stats in _stats().items()
            for value, attributes in read(stats)
        ]

    return observe


def _stats() -> dict[str, PoolStats]:
    # Without it no pool was used, and Django may not be set up yet.
    pools = sys.modules.get("pooled_db.pools")
    return {} if pools is None else pools.stats()
