"""Django's checks of models: which databases they ask, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import CheckMessage, Tags, Warning
from django.db import connections

from pooled_db import model_checks
from pooled_db.model_checks import _replaced_by_an_able_one, check_models
from tests.checking import AddDatabase

OF_MODELS, OF_DATABASES = (
    SimpleNamespace(tags=(tag,)) for tag in (Tags.models, Tags.database)
)

pytestmark = pytest.mark.usefixtures("may_connect")


def run(checks: Any, *databases: str) -> list[CheckMessage]:
    """As Django's ``run_checks``, which has those that it runs in `checks`."""
    return check_models(app_configs=[], databases=databases)


@pytest.mark.parametrize(
    ("running", "asked"),
    [
        ([], []),
        ([OF_MODELS], []),
        ([OF_MODELS, OF_DATABASES], ["default"]),
        (None, ["default"]),  # another Django's, perhaps
    ],
)
def test_a_server_is_asked_where_checks_of_databases_are_run(
    attempts: list[str], running: Any, asked: list[str]
) -> None:
    assert run(running, "default") == []
    assert attempts == asked


@pytest.mark.parametrize("running", [[], [OF_DATABASES]], ids=["unasked", "away"])
def test_django_judges_models_with_all_that_it_was_given_and_without_the_server(
    attempts: list[str], monkeypatch: pytest.MonkeyPatch, running: list[Any]
) -> None:
    connection = connections["default"]
    given: list[object] = []

    said = Warning("what Django says")

    def judge(**kwargs: object) -> list[CheckMessage]:
        given.append(kwargs)
        assert connections["default"] is not connection
        return [said]

    monkeypatch.setattr(model_checks, "check_all_models", judge)
    assert run(running, "default") == [said]
    assert given == [{"app_configs": [], "databases": ("default",)}]
    assert connections["default"] is connection


def test_another_wrapper_stands_for_a_server_that_is_able_to_do_everything(
    attempts: list[str],
) -> None:
    connection: Any = connections["default"]
    with _replaced_by_an_able_one("default", connection):
        able: Any = connections["default"]
        assert able is not connection
        assert (able.alias, able.settings_dict) == ("default", connection.settings_dict)
        assert able.mysql_version == (99, 99, 99)
        assert able.features.supports_json_field
        assert able.features.supports_expression_indexes
    assert connections["default"] is connection
    assert attempts == []


def test_only_the_pooled_databases_are_asked_of_those_that_are_there(
    attempts: list[str],
    add_database: AddDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_driver = {**connections.settings["default"], "ENGINE": "nowhere.at_all"}
    monkeypatch.setitem(connections.settings, "elsewhere", without_driver)
    add_database("lite", ENGINE="django.db.backends.sqlite3", NAME=":memory:")
    assert run([OF_DATABASES], "elsewhere", "lite", "default") == []
    assert attempts == ["default"]
