"""What the panel of django-debug-toolbar makes of a request's connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("debug_toolbar")

from django.http import HttpResponse
from django.test import RequestFactory

from pooled_db import debug_toolbar
from pooled_db.debug_toolbar import PoolPanel
from pooled_db.pool.stats import PoolStats


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


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is told of a request that has such loans, or of one that has no scope."""
    recorded: list[dict[str, Any]] = []
    monkeypatch.setattr(
        PoolPanel, "record_stats", lambda _, told: recorded.append(told)
    )
    stats = {"default": PoolStats(in_use=1, idle=2, waiting=3, limit=4, peak=5)}
    monkeypatch.setattr(debug_toolbar, "stats", lambda: dict(stats))

    def told(*loans: Any, has_scope: bool = True) -> dict[str, Any]:
        scope = SimpleNamespace(loans=list(loans)) if has_scope else None
        monkeypatch.setattr(debug_toolbar, "current_scope", lambda: scope)
        request, answer = RequestFactory().get("/"), HttpResponse()
        answers: Any = {request: answer}.get
        panel: Any = PoolPanel(SimpleNamespace(), answers)
        assert panel.process_request(request) is answer
        stats["default"] = PoolStats(in_use=0, idle=3, waiting=0, limit=4)
        stats["late"] = PoolStats(limit=1)
        panel.generate_stats(request, answer)
        return recorded.pop()

    return told


def borrowed(*, is_back: bool = False, **changed: Any) -> Any:
    """A loan whose session was changed."""
    connection = SimpleNamespace(connection_id=4711, dirtied_by="SET @a = 1")
    return SimpleNamespace(
        **{
            "pool": SimpleNamespace(alias="default"),
            "connection": connection,
            "waited": 0.25,
            "is_new": True,
            "pings": 1,
            "called_back": False,
            "has_ended": is_back,
            "needs_io": lambda: True,
            **changed,
        }
    )


def test_it_is_shown_under_asgi_too() -> None:
    """Where the toolbar leaves out each panel that does not say so."""
    assert PoolPanel.is_async


def test_pools_are_told_as_they_were_before_and_after_the_view(told: Any) -> None:
    default, late = told()["pools"]
    assert default == {
        "alias": "default",
        "before": {"in_use": 1, "idle": 2, "waiting": 3, "limit": 4},
        "after": {"in_use": 0, "idle": 3, "waiting": 0, "limit": 4},
    }
    assert (late["alias"], late["before"], late["after"]["limit"]) == ("late", None, 1)


def test_a_connection_is_told_with_its_wait_and_its_state(told: Any) -> None:
    # What has been refused, or not asked for yet, is none.
    (loan,) = told(borrowed(), borrowed(connection=None))["loans"]
    assert loan == {
        "alias": "default",
        "waited": 0.25,
        "is_new": True,
        "connection_id": 4711,
        "pings": 1,
        "called_back": False,
        "is_back": False,
        "dirtied_by": "SET @a = 1",
        "needs_io": True,
    }


def test_of_a_connection_that_has_gone_back_the_state_is_unknown(told: Any) -> None:
    """It may be another's by now."""
    (loan,) = told(borrowed(is_back=True, called_back=True))["loans"]
    assert (loan["is_back"], loan["called_back"]) == (True, True)
    assert (loan["dirtied_by"], loan["needs_io"]) == (None, False)


def test_a_request_that_is_none_of_the_middlewares_has_no_connection(told: Any) -> None:
    assert told(has_scope=False)["loans"] == []
