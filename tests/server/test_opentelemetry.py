"""`opentelemetry-instrument` exports the pools of a site that knows nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pooled_db.pool import host
from tests.harness import servers
from tests.harness.processes import poll
from tests.sites import ROOT, Site, site_settings

# Its configurator is in the distro.
pytest.importorskip("opentelemetry.distro", reason="its distro is not installed")
auto = pytest.importorskip("opentelemetry.instrumentation.auto_instrumentation")

PREFIX = "db.client.connection"
NAMES = {
    *(f"{PREFIX}.{name}" for name in ("count", "max", "idle.max", "idle.min")),
    *(f"{PREFIX}.{name}" for name in ("pending_requests", "timeouts")),
    *(f"{PREFIX}.{name}" for name in ("create_time", "wait_time", "use_time")),
}
REQUESTS = 7


def exports(log: str) -> Iterator[dict[str, Any]]:
    """What the console exporter has written: one JSON document after the other."""
    decoder = json.JSONDecoder()
    at = log.find('{\n    "resource_metrics"')
    while at >= 0:
        try:
            told, end = decoder.raw_decode(log, at)
        except ValueError:
            return  # it is being written
        yield told
        at = log.find('{\n    "resource_metrics"', end)


def points(told: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The points of each metric of ours."""
    return {
        metric["name"]: metric["data"]["data_points"]
        for resource in told["resource_metrics"]
        for scope in resource["scope_metrics"]
        if scope["scope"]["name"] == "pooled_db"
        for metric in scope["metrics"]
    }


def test_the_nine_names_are_exported_with_the_pools_own_numbers(
    site_database: dict[str, Any], tmp_path: Path
) -> None:
    state = {"EXEMPT": ["^exempt/"], "STATE_DIR": str(tmp_path / "state")}
    given = site_settings(site_database, pool={"pool_size": 2}, POOLED_DB=state)
    env = {
        "TEST_SETTINGS": json.dumps(given),
        # What `opentelemetry-instrument` does before it executes its command.
        "PYTHONPATH": str(Path(auto.__file__).parent),
        "OTEL_METRICS_EXPORTER": "console",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    with servers.gunicorn(
        "tests.wsgi:application", workers=1, threads=4, env=env, cwd=ROOT
    ) as server:
        site = Site(server)
        for _ in range(REQUESTS):
            assert site.get("/queries").status == 200
        latest: dict[str, list[dict[str, Any]]] = {}

        def are_told() -> bool:
            for told in exports(server.log()):
                latest.update(points(told))
            uses = latest.get(f"{PREFIX}.use_time", [])
            return bool(sum(point["count"] for point in uses) == REQUESTS)

        assert poll(are_told), server.log()[-2000:]
        stats = host.look(tmp_path / "state").totals()["default"]

    assert {name for name in latest if name.startswith(PREFIX)} == NAMES
    assert all(
        point["attributes"][f"{PREFIX}.pool.name"] == "default"
        for found in latest.values()
        for point in found
    )
    states = {
        point["attributes"][f"{PREFIX}.state"]: point["value"]
        for point in latest[f"{PREFIX}.count"]
    }
    assert states == {"idle": stats.idle, "used": 0}
    (most,) = latest[f"{PREFIX}.max"]
    assert most["value"] == stats.limit == 2
    (use,) = latest[f"{PREFIX}.use_time"]
    assert use["sum"] == pytest.approx(stats.uses.sum, abs=1e-6)
    (create,) = latest[f"{PREFIX}.create_time"]
    assert (create["count"], stats.opened) == (1, 1)
