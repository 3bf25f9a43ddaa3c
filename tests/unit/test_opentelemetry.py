"""The pools' numbers as the OpenTelemetry SDK exports them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed")

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from pooled_db import opentelemetry as instrumentation
from pooled_db import pools
from pooled_db.exceptions import Reason
from pooled_db.pool.numbers import Numbers, to_stats
from pooled_db.pool.stats import BOUNDS, Histogram, PoolStats

CONVENTIONS = {
    "db.client.connection.count": "{connection}",
    "db.client.connection.max": "{connection}",
    "db.client.connection.idle.max": "{connection}",
    "db.client.connection.idle.min": "{connection}",
    "db.client.connection.pending_requests": "{request}",
    "db.client.connection.timeouts": "{timeout}",
    "db.client.connection.create_time": "s",
    "db.client.connection.wait_time": "s",
    "db.client.connection.use_time": "s",
}


def exported(reader: InMemoryMetricReader) -> dict[str, Any]:
    data: Any = reader.get_metrics_data()
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def test_the_names_are_those_of_the_conventions_and_the_values_the_pools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = Numbers()
    numbers.connected(0.004)
    for seconds in (0.0, 0.0, 0.03, 0.7, 45.0):
        numbers.lent(seconds, 0.0, None)
        numbers.given_back(2 * seconds, None)
    numbers.refused(Reason.TIMEOUT)
    numbers.refused(Reason.OVERLOADED)
    monkeypatch.setattr(
        instrumentation,
        "_stats",
        lambda: {
            "default": to_stats(numbers.read(), limit=5, idle=3, in_use=2, waiting=4)
        },
    )
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrumentation._Metrics(provider.get_meter("pooled_db"))

    metrics = exported(reader)

    units = {name: metric.unit for name, metric in metrics.items()}
    assert units == {**CONVENTIONS, "pooled_db.refused": "{request}"}
    pool = {"db.client.connection.pool.name": "default"}
    values = {
        (name, *sorted(point.attributes.items())[1:]): point.value
        for name, metric in metrics.items()
        for point in metric.data.data_points
        if hasattr(point, "value")
    }
    state = "db.client.connection.state"
    assert values["db.client.connection.count", (state, "idle")] == 3
    assert values["db.client.connection.count", (state, "used")] == 2
    assert values["db.client.connection.max",] == 5
    assert values["db.client.connection.idle.max",] == 5
    assert values["db.client.connection.idle.min",] == 0
    assert values["db.client.connection.pending_requests",] == 4
    assert values["db.client.connection.timeouts",] == 1
    assert values["pooled_db.refused", ("pooled_db.reason", "overloaded")] == 1
    for name, field in (("create", "connects"), ("wait", "waits"), ("use", "uses")):
        (point,) = metrics[f"db.client.connection.{name}_time"].data.data_points
        mine = getattr(to_stats(numbers.read()), field)
        assert point.attributes == pool
        assert tuple(point.explicit_bounds) == BOUNDS
        assert tuple(point.bucket_counts) == mine.counts
        assert point.sum == pytest.approx(mine.sum)

    numbers.given_back(0.2, None)
    (point,) = exported(reader)["db.client.connection.use_time"].data.data_points
    assert (point.count, point.sum) == (6, pytest.approx(91.66))
    provider.shutdown()


def test_each_time_is_told_once_of_whatever_pool_there_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stats: dict[str, PoolStats] = {}
    forked: list[Callable[[], None]] = []
    monkeypatch.setattr(instrumentation, "in_child", forked.append)
    monkeypatch.setattr(instrumentation, "_stats", lambda: stats)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrumentation._Metrics(provider.get_meter("pooled_db"))

    def told(uses: int) -> int:
        histogram = Histogram((uses, *(0,) * len(BOUNDS)), uses * 0.0005)
        stats["default"] = PoolStats(uses=histogram, refused_by={"timeout": 0})
        metric = exported(reader).get("db.client.connection.use_time")
        return sum(point.count for point in metric.data.data_points) if metric else 0

    assert [told(5), told(5), told(7)] == [5, 5, 7]
    # Another pool takes its place, and then a child begins with one of its own.
    assert [told(2), told(3)] == [9, 10]
    for forget in forked:
        forget()
    assert told(4) == 14
    assert caplog.records == []
    provider.shutdown()


@pytest.mark.parametrize(
    ("counts", "total"),
    [
        ({}, 0.0),
        ({0: 3}, 0.0),
        ({0: 2}, 0.0015),
        ({1: 4, 5: 1}, 0.05),
        ({13: 1, 14: 1}, 60.0),
        ({14: 2}, 100.0),
        # What is added up in another order can be a little more, or less.
        ({0: 1}, 0.00100001),
        ({2: 1}, 0.00249999),
    ],
)
def test_a_time_is_told_as_far_as_its_bucket_and_the_sum_exactly(
    counts: dict[int, int], total: float
) -> None:
    each = [counts.get(bucket, 0) for bucket in range(len(BOUNDS) + 1)]

    told = list(instrumentation._spread(each, total))

    assert [count for _, count in told] == each
    for bucket, (seconds, count) in enumerate(told):
        if count and total:
            low = BOUNDS[bucket - 1] if bucket else 0.0
            assert low <= seconds <= [*BOUNDS, math.inf][bucket]
            assert bucket < len(BOUNDS) or seconds > low
    assert sum(seconds * count for seconds, count in told) == pytest.approx(
        total, abs=1e-5
    )


def test_the_instrumentor_tells_a_provider_by_which_conventions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = {"default": PoolStats(limit=3)}
    monkeypatch.setattr(instrumentation, "_stats", lambda: mine)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrumentor: Any = instrumentation.PooledDBInstrumentor()
    instrumentor.instrument(meter_provider=provider)
    instrumentor.uninstrument()
    data: Any = reader.get_metrics_data()
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "pooled_db"
    assert scope.scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"
    provider.shutdown()


def test_what_is_told_is_of_this_processes_pools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "stats", lambda: {"default": PoolStats(limit=3)})
    assert instrumentation._stats()["default"].limit == 3
    # Django may not be set up yet, and no pool was used.
    monkeypatch.delitem(sys.modules, "pooled_db.pools")
    assert instrumentation._stats() == {}


def test_the_project_names_it_to_opentelemetry_instrument() -> None:
    """What is installed here may be older than the file."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    _, _, group = project.partition("entry-points.opentelemetry_instrumentor]\n")
    name, _, value = group.splitlines()[0].partition(" = ")
    assert name == "pooled_db"
    module, _, instrumentor = value.strip('"').partition(":")
    assert module == instrumentation.__name__
    assert issubclass(getattr(instrumentation, instrumentor), BaseInstrumentor)
