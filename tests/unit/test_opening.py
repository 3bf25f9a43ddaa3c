"""How a wrapper opens connections for its pool, and when it closes that."""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from pooled_db import pools
from pooled_db.backends.mysql import opening


@pytest.mark.parametrize(
    ("of_pool", "seconds"),
    # Without a pool's own, which is judged already, it is that of the settings.
    [(None, 4), (2.2, 3), (2.0, 2), (100.0, 60)],
)
def test_a_server_is_waited_for_as_long_as_requests_wait(
    monkeypatch: pytest.MonkeyPatch, of_pool: float | None, seconds: int
) -> None:
    given: dict[str, Any] = {}

    def open_at_any(params: dict[str, Any], open_one: object) -> object:
        given.update(params)
        return SimpleNamespace()

    there = SimpleNamespace(open_at_any=open_at_any)
    monkeypatch.setattr(opening, "addresses", there)
    wrapper: Any = connections["default"].copy()
    wrapper.settings_dict["OPTIONS"] = {"pool": {"timeout": 3.5}}
    wrapper.pool_timeout = of_pool
    wrapper.open_connection()
    assert given["connect_timeout"] == seconds


@pytest.mark.parametrize(
    ("caller", "module", "is_pooled", "closed"),
    [
        ("on_task_prerun", "celery.fixups.django", True, []),
        ("on_task_postrun", "celery.fixups.django", True, []),
        ("on_worker_init", "celery.fixups.django", True, ["default"]),
        ("on_task_prerun", "shop.tasks", True, ["default"]),
        ("on_worker_init", "celery.fixups.django", False, []),
    ],
)
def test_a_pool_is_closed_by_all_but_celery_around_its_tasks(
    monkeypatch: pytest.MonkeyPatch,
    caller: str,
    module: str,
    is_pooled: bool,
    closed: list[str],
) -> None:
    disposed: list[str] = []
    monkeypatch.setattr(pools, "dispose", disposed.append)
    wrapper: Any = connections["default"].copy()
    wrapper.settings_dict["OPTIONS"] = {"pool": is_pooled}

    def call() -> None:
        wrapper.close_pool()

    code = call.__code__.replace(co_name=caller)
    FunctionType(code, {"__name__": module}, closure=call.__closure__)()
    assert disposed == closed
