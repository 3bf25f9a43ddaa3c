"""Grafana's dashboard and the alerts ask for nothing that is not exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.harness import monitoring
from tests.sites import Site


def test_every_metric_that_is_asked_for_is_in_a_scrape(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    state = {"EXEMPT": [r"^exempt/"], "STATE_DIR": str(tmp_path)}
    served = site("gunicorn", POOLED_DB=state)
    served.get("/queries")
    families = list(text_string_to_metric_families(served.get("/exempt/metrics").body))
    samples = {sample.name for family in families for sample in family.samples}
    # The dashboard is the group and the file's name, too.
    asked = monitoring.metrics() - {"pooled_db_dashboard"}

    assert asked - samples == set()
    # And nearly everything that is exported is shown.
    shown = {name.removesuffix("_total") for name in asked}
    shown |= {name.rpartition("_")[0] for name in shown}
    assert {family.name for family in families if "pooled" in family.name} - shown <= {
        *("pooled_db_on_call", "pooled_db_peak", "pooled_db_overloaded"),
    }


def test_each_panel_is_of_what_is_chosen_above() -> None:
    for title, expressions in monitoring.panels().items():
        for expression in expressions:
            for name in ("job", "instance", "alias"):
                assert f'{name}=~"${name}"' in expression, title
    assert [one["name"] for one in monitoring.variables()] == [
        *("datasource", "job", "instance", "alias")
    ]
