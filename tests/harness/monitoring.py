"""What docs/monitoring asks Prometheus for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
DASHBOARD = MONITORING / "grafana" / "pooled_db.json"
ALERTS = MONITORING / "alerts.yml"

_METRIC = re.compile(r"\bpooled_db_\w+")


def panels() -> dict[str, list[str]]:
    """The expressions of Grafana's dashboard, by the title of their panel."""
    dashboard = json.loads(DASHBOARD.read_text())
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in dashboard["panels"]
    }


def metrics() -> set[str]:
    """The metrics that dashboard and alerts name anywhere, their texts included."""
    return set(_METRIC.findall(DASHBOARD.read_text() + ALERTS.read_text()))


def filled_in(expression: str) -> str:
    """Put in what Grafana puts in for its variables."""
    for name, value in {
        "$__rate_interval": "20s",
        "$job": ".*",
        "$instance": ".*",
        "$alias": ".*",
    }.items():
        expression = expression.replace(name, value)
    return expression


def variables() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["templating"][
        "list"
    ]
    return listed
