"""For how long a server may be silent when a connection is opened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

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
