"""What is exported where the processes cannot share their numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pooled_db import pools
from pooled_db.metrics import PoolCollector
from pooled_db.pool.stats import PoolStats

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
