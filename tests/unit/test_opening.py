"""How a wrapper opens connections for its pool, and when it closes that."""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.mysql import base as mysql

from pooled_db import pools
from pooled_db.backends.mysql import opening
from pooled_db.backends.mysql.base import PooledMixin


@pytest.fixture
def wrapper() -> Any:
    return connections["default"].copy()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a connection was opened with, of which nothing else is there."""
    given: dict[str, Any] = {}

    def open_at_any(params: dict[str, Any], open_one: object) -> object:
        given.update(params)
        return SimpleNamespace()

    there = SimpleNamespace(open_at_any=open_at_any)
    monkeypatch.setattr(opening, "addresses", there)
    return given


@pytest.mark.parametrize(
    ("of_pool", "seconds"),
    # Without a pool's own, which is judged already, it is that of the settings.
    [(None, 4), (2.2, 3), (2.0, 2), (100.0, 60)],
)
def test_a_server_is_waited_for_as_long_as_requests_wait(
    wrapper: Any, given: dict[str, Any], of_pool: float | None, seconds: int
) -> None:
    wrapper.settings_dict["OPTIONS"] = {"pool": {"timeout": 3.5}}
    wrapper.pool_timeout = of_pool
    wrapper.open_connection()
    assert given["connect_timeout"] == seconds


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_connection_is_opened_in_the_mode_that_the_settings_want(
    wrapper: Any, given: dict[str, Any], autocommit: bool
) -> None:
    """Else Django has to set it by another statement."""
    wrapper.settings_dict["AUTOCOMMIT"] = autocommit
    wrapper.settings_dict["OPTIONS"] = {"pool": True, "charset": "utf8mb4"}
    wrapper.open_connection()
    assert given["autocommit"] is autocommit
    assert given["charset"] == "utf8mb4"
    assert "pool" not in given


def test_a_connection_knows_the_account_that_a_new_one_would_use(
    wrapper: Any, given: dict[str, Any]
) -> None:
    wrapper.settings_dict["PASSWORD"] = "of today"
    connection = wrapper.open_connection()
    wrapper.settings_dict["PASSWORD"] = "of tomorrow"
    assert given["password"] == "of today"
    assert connection.current_options()["password"] == "of tomorrow"


@pytest.mark.parametrize(
    ("alias", "is_pooled"), [("default", True), (NO_DB_ALIAS, False)]
)
def test_a_wrapper_without_a_database_has_no_pool(
    wrapper: Any, alias: str, is_pooled: bool
) -> None:
    """Django creates and drops databases by it."""
    made = type(wrapper)({**wrapper.settings_dict, "NAME": None}, alias)
    assert (made.pool is not None) is made.is_pooled is is_pooled


class ByOtherMeans(mysql.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        return SimpleNamespace(open=True)


class Derived(PooledMixin, ByOtherMeans):
    pass


def test_a_backend_that_opens_them_by_other_means_is_told_what_to_set(
    wrapper: Any,
) -> None:
    with pytest.raises(
        ImproperlyConfigured,
        match=r"of 'default' opens connections by other means.*Set \"pool\": False",
    ):
        Derived(wrapper.settings_dict, "default").open_connection()


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
    wrapper: Any,
    caller: str,
    module: str,
    is_pooled: bool,
    closed: list[str],
) -> None:
    disposed: list[str] = []
    monkeypatch.setattr(pools, "dispose", disposed.append)
    wrapper.settings_dict["OPTIONS"] = {"pool": is_pooled}

    def call() -> None:
        wrapper.close_pool()

    code = call.__code__.replace(co_name=caller)
    FunctionType(code, {"__name__": module}, closure=call.__closure__)()
    assert disposed == closed
