"""The documented set-up, with a real Prometheus instead of its container."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import monitoring
from tests.harness.monitoring import MONITORING
from tests.harness.processes import Keeper, free_port, poll
from tests.sites import Site


def test_the_alerts_are_raised_when_they_should_be() -> None:
    for command in (
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = subprocess.run(
            ["promtool", *command],
            cwd=MONITORING,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_compose_understands_the_example() -> None:
    done = subprocess.run(
        ["docker-compose", "--profile", "load", "config", "--quiet"],
        cwd=MONITORING,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Prometheus:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, what: str, **query: str) -> Any:
        url = f"{self._url}{what}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return any(one["health"] == "up" for one in self._targets())
        return False

    def _targets(self) -> list[Any]:
        targets: list[Any] = self.ask("targets")["activeTargets"]
        return targets


@pytest.fixture
def busy(site: Callable[..., Site], tmp_path: Path) -> Site:
    """A site that has lent, refused and closed connections."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    state = {"EXEMPT": [r"^exempt/"], "STATE_DIR": str(directory)}
    return site("gunicorn", POOLED_DB=state, pool={"pool_size": 2})


@pytest.fixture
def prometheus(busy: Site, tmp_path: Path) -> Iterator[Prometheus]:
    """Debian's Prometheus with docs/monitoring, but for the address and the path."""
    port = free_port()
    config = (MONITORING / "prometheus.yml").read_text()
    target = f"{busy.server.host}:{busy.server.port}"
    for documented, here in (
        ("site:8000", target),
        ("/metrics", "/exempt/metrics"),
        ("_interval: 5s", "_interval: 1s"),
    ):
        assert documented in config
        config = config.replace(documented, here)
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    with contextlib.closing(Keeper("pooled_db-prometheus")) as keeper:
        keeper.start(
            [
                "prometheus",
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={keeper.directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=tmp_path,
        )
        prometheus = Prometheus(port)
        assert poll(prometheus.is_ready), keeper.log()
        yield prometheus


def test_each_panel_shows_something_and_each_rule_can_be_judged(
    busy: Site, prometheus: Prometheus
) -> None:
    empty: dict[str, Any] = {}

    def look() -> bool:
        busy.get("/queries")
        empty.clear()
        for title, expressions in monitoring.panels().items():
            found = [
                prometheus.value(monitoring.filled_in(expression))
                for expression in expressions
            ]
            if not all(found):
                empty[title] = expressions
        return not empty

    assert poll(look), empty
    (use,) = prometheus.value("sum(pooled_db_limit)")
    assert use["value"][1] == "2"
    # Evaluated by now, since the panels want rates.
    (group,) = prometheus.ask("rules")["groups"]
    assert len(group["rules"]) == 5
    assert poll(
        lambda: all(
            rule["health"] == "ok"
            for rule in prometheus.ask("rules")["groups"][0]["rules"]
        ),
    ), group
    for name in ("job", "instance", "alias"):
        assert prometheus.ask(f"label/{name}/values", **{"match[]": "pooled_db_limit"})
