"""The line of the panel in the list of django-debug-toolbar's panels."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("debug_toolbar")

from pooled_db.debug_toolbar import PoolPanel


def loan(
    waited: float, *, is_new: bool = False, dirtied_by: str | None = None
) -> dict[str, Any]:
    return {"waited": waited, "is_new": is_new, "dirtied_by": dirtied_by}


@pytest.mark.parametrize(
    ("loans", "line"),
    [
        ([], "no connection"),
        ([loan(0.0)], "waited 0.0 ms, reused"),
        ([loan(0.002), loan(0.25), loan(0.0)], "waited 250.0 ms, reused"),
        ([loan(0.0), loan(0.0, is_new=True)], "waited 0.0 ms, new"),
        (
            [loan(0.0, dirtied_by="SET @a = 1"), loan(0.0)],
            "waited 0.0 ms, reused, changed",
        ),
    ],
)
def test_it_tells_the_worst_of_all_connections_of_the_request(
    monkeypatch: pytest.MonkeyPatch, loans: list[dict[str, Any]], line: str
) -> None:
    monkeypatch.setattr(PoolPanel, "get_stats", lambda self: {"loans": loans})
    panel = PoolPanel.__new__(PoolPanel)

    assert panel.nav_subtitle == line
