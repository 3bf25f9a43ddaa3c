"""What is exported where the processes cannot share their numbers."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pooled_db import pools
from pooled_db.metrics import PoolCollector, prometheus
from pooled_db.pool.host import Host
from pooled_db.pool.stats import BOUNDS, Histogram, PoolStats

#: What recorded series are called by.
BUCKETS = (
    *("0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5"),
    *("1.0", "2.5", "5.0", "10.0", "30.0", "+Inf"),
)


@pytest.mark.parametrize("where", [None, "a file", "nowhere", "empty"])
def test_where_no_process_shares_its_numbers_each_tells_its_own(
    where: str | None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "empty").mkdir(mode=0o700)
    state = None if where is None else str(tmp_path / where)
    settings.POOLED_DB = {"STATE_DIR": state}
    mine = {"default": PoolStats(limit=3, oldest_wait=0.5, resets=7)}
    monkeypatch.setattr(pools, "stats", lambda: mine)
    registry = CollectorRegistry()
    registry.register(PoolCollector())
    text = generate_latest(registry).decode()
    assert 'pooled_db_limit{alias="default"} 3.0' in text
    assert 'pooled_db_oldest_wait_seconds{alias="default"} 0.5' in text
    assert 'pooled_db_resets_total{alias="default"} 7.0' in text
    assert 'pooled_db_processes{alias="default"} 1.0' in text
    for name in ("wait", "use", "connect"):
        found = re.findall(rf'pooled_db_{name}_seconds_bucket{{.*le="(.*?)"', text)
        assert tuple(found) == BUCKETS


def test_where_processes_share_their_numbers_those_that_are_alive_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool: Any = SimpleNamespace(stats=PoolStats(limit=3))
    process: Any = SimpleNamespace(pools={"default": pool})
    other: Any = SimpleNamespace(pools={})
    host = Host((process, process, other), {"default": PoolStats()})
    monkeypatch.setattr("pooled_db.metrics.state.look", lambda: host)
    told = {
        (sample.name, sample.value)
        for family in PoolCollector().collect()
        for sample in family.samples
    }
    assert {("pooled_db_processes", 2), ("pooled_db_limit", 6)} <= told


@pytest.mark.parametrize(
    ("accepts", "kind"),
    [
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
        ("text/plain", "text/plain"),
    ],
)
def test_the_view_answers_in_the_format_that_is_asked_for(
    rf: RequestFactory, accepts: str, kind: str
) -> None:
    answer = prometheus(rf.get("/metrics", headers={"Accept": accepts}))
    assert answer["Content-Type"].partition(";")[0] == kind
    ends = answer.content.endswith(b"# EOF\n")
    assert ends is (kind == "application/openmetrics-text")


def test_the_view_tells_each_number_by_its_alias_and_nobody_keeps_it(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def times(count: int, total: float) -> Histogram:
        return Histogram((count, *(0,) * len(BOUNDS)), total)

    mine = {
        "default": PoolStats(
            waits=times(3, 0.5),
            uses=times(5, 2.5),
            connects=times(2, 0.25),
            refused_by={"timeout": 7, "queue_full": 0},
            closed={"age": 9},
        )
    }
    monkeypatch.setattr(pools, "stats", lambda: mine)
    answer = prometheus(rf.get("/metrics"))

    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Type"].startswith("text/plain")
    told = {
        (sample.name, *sample.labels.items()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    alias = ("alias", "default")
    for name, count, total in (
        ("wait", 3, 0.5),
        ("use", 5, 2.5),
        ("connect", 2, 0.25),
    ):
        assert told[f"pooled_db_{name}_seconds_count", alias] == count
        assert told[f"pooled_db_{name}_seconds_sum", alias] == total
    refused = {
        key[2:]: value for key, value in told.items() if "refused_total" in key[0]
    }
    assert refused == {(("reason", "timeout"),): 7, (("reason", "queue_full"),): 0}
    assert told["pooled_db_closed_total", alias, ("reason", "age")] == 9
