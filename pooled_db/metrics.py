"""The pools of this host as Prometheus reads them: ``pooled-db[prometheus]``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from . import pools, state
from .pool.host import Host
from .pool.stats import Histogram, PoolStats

_GAUGES: dict[str, str] = {
    "limit": "Most connections that there can be: pool_size + max_overflow.",
    "granted": "How many of these the server grants, as far as is known.",
    "in_use": "Connections that are lent.",
    "at_work": "Lent connections that somebody works with.",
    "on_call": "Lent connections that nobody works with and whoever waits gets.",
    "idle": "Connections that lie in the pool.",
    "waiting": "Requests that wait for a connection.",
    "peak": "Most connections that were lent at once, added up over processes.",
    "overloaded": "Whether a process sheds its queue (1) or none does (0).",
}
_COUNTERS: dict[str, str] = {
    "opened": "Connections that were opened.",
    "checkouts": "Connections that were lent.",
    "resets": "Sessions that were made as new.",
    "called_back": "Connections that were taken back at rest for others, who waited.",
}
_HISTOGRAMS: dict[str, tuple[str, str]] = {
    "wait_seconds": ("waits", "How long those stood in line that got a connection."),
    "use_seconds": ("uses", "How long they had it."),
    "connect_seconds": ("connects", "How long it took to open one."),
}


class PoolCollector:
    """The sums of all processes of this host, by alias; where STATE_DIR is None, or
    cannot be used, those of this process.

    ``REGISTRY.register(PoolCollector())`` adds them to what a process exports. Where
    prometheus_client's multiprocess mode is on, its collector leaves others out: use
    the view :func:`prometheus` beside it.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield one metric family after the other, as prometheus_client asks."""
        host = _host()
        totals = host.totals()
        shared = bool(totals)
        stats = totals or pools.stats()
        processes = GaugeMetricFamily(
            "pooled_db_processes", "Processes that are alive.", labels=["alias"]
        )
        for alias in stats:
            alive = sum(alias in process.pools for process in host.processes)
            processes.add_metric([alias], alive if shared else 1)
        yield processes
        yield from _gauges(stats)
        yield from _counters(stats)
        yield from _histograms(stats)


def _host() -> Host:
    try:
        return state.look()
    except OSError:  # as the pools have logged
        return Host()


def _gauges(stats: dict[str, PoolStats]) -> Iterator[Metric]:
    for name, words in _GAUGES.items():
        gauge = GaugeMetricFamily(f"pooled_db_{name}", words, labels=["alias"])
        for alias, one in stats.items():
            gauge.add_metric([alias], float(getattr(one, name)))
        yield gauge
    oldest = GaugeMetricFamily(
        "pooled_db_oldest_wait_seconds",
        "For how long the first in line has waited.",
        labels=["alias"],
    )
    for alias, one in stats.items():
        oldest.add_metric([alias], one.oldest_wait)
    yield oldest


def _counters(stats: dict[str, PoolStats]) -> Iterator[Metric]:
    for name, words in _COUNTERS.items():
        counter = CounterMetricFamily(f"pooled_db_{name}", words, labels=["alias"])
        for alias, one in stats.items():
            counter.add_metric([alias], getattr(one, name))
        yield counter
    refused = CounterMetricFamily(
        "pooled_db_refused",
        "Requests that got no connection, by reason.",
        labels=["alias", "reason"],
    )
    closed = CounterMetricFamily(
        "pooled_db_closed",
        "Connections that were closed, by what for.",
        labels=["alias", "reason"],
    )
    for alias, one in stats.items():
        for reason, count in one.refused_by.items():
            refused.add_metric([alias, reason], count)
        for reason, count in one.closed.items():
            closed.add_metric([alias, reason], count)
    yield refused
    yield closed


def _histograms(stats: dict[str, PoolStats]) -> Iterator[Metric]:
    for name, (field, words) in _HISTOGRAMS.items():
        family = HistogramMetricFamily(f"pooled_db_{name}", words, labels=["alias"])
        for alias, one in stats.items():
            histogram: Histogram = getattr(one, field)
            family.add_metric([alias], _buckets(histogram), histogram.sum)
        yield family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Its counts, as Prometheus has them: each with all before it."""
    bounds: Iterable[str] = (*map(str, histogram.bounds), "+Inf")
    so_far = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(bounds, histogram.counts, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return buckets


_registry = CollectorRegistry()
_registry.register(PoolCollector())


def prometheus(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics of this host's pools.

    It asks no database and needs no connection, so it works while the pool is exhausted
    if its path is in ``EXEMPT``. Any worker can answer it, for all.
    """
    encoder: Callable[[Any], bytes]
    encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(
        encoder(_registry),
        content_type=content_type,
        headers={"Cache-Control": "no-store"},
    )
