"""Checks: what somebody sees whose settings are wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import AppConfig
from django.core.checks import Error, Tags, run_checks
from django.core.checks.model_checks import check_all_models
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections

import pooled_db
from pooled_db import checks
from pooled_db.model_checks import check_models
from tests.checking import (
    AddDatabase,
    changes,
    ids,
    messages,
)


def test_a_project_that_is_right_hears_nothing() -> None:
    assert run_checks(app_configs=[]) == []


def test_without_databases_no_connection_is_opened(attempts: list[str]) -> None:
    run_checks(app_configs=[], databases=None)

    assert attempts == []


def test_identifiers_are_unique_and_well_formed() -> None:
    package = Path(pooled_db.__file__).parent
    written = [
        identifier
        for file in package.rglob("*.py")
        for identifier in re.findall(r'\bid="(.*?)"', file.read_text())
    ]

    assert len(written) == len(set(written))
    assert sorted(written) == [
        *(f"pooled_db.E{number:03}" for number in range(1, 6)),
        *(f"pooled_db.I{number:03}" for number in range(1, 4)),
        *(f"pooled_db.W{number:03}" for number in range(1, 9)),
    ]


def test_every_check_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[object] = []
    monkeypatch.setattr(
        "django.core.checks.register", lambda check, *tags: registered.append(check)
    )

    checks.register()

    written = {
        check for name, check in vars(checks).items() if name.startswith("check_")
    }
    assert len(written) > 5
    assert written <= set(registered)


# E001: the pool.


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        (
            {"OPTIONS": {"pool": {"use_lifo": 1}}},
            [
                '["OPTIONS"]["pool"]["use_lifo"] must be True or False, not 1.',
            ],
        ),
        (
            {"OPTIONS": {"pool": None}},
            ['["OPTIONS"]["pool"] must be True, False or a dict, not None.'],
        ),
        (
            {"CONN_MAX_AGE": 60},
            [
                (
                    '["CONN_MAX_AGE"] must be 0 with a pool, which keeps the '
                    "connections open itself, not 60."
                )
            ],
        ),
        (
            {"OPTIONS": {"pool": {"use_lifo": 1, "max_overflow": -1}}},
            [
                '["OPTIONS"]["pool"]["use_lifo"] must be True or False, not 1.',
                (
                    '["OPTIONS"]["pool"]["max_overflow"] must be an integer of at '
                    "least 0 and below 1,000,000,000, not -1."
                ),
            ],
        ),
    ],
)
def test_a_wrong_pool_is_an_error(
    monkeypatch: pytest.MonkeyPatch, database: dict[str, Any], expected: list[str]
) -> None:
    changes(monkeypatch, **database)

    assert messages() == [
        Error(f'DATABASES["default"]{problem}', id="pooled_db.E001")
        for problem in expected
    ]


def test_a_wrong_default_is_told_once_and_not_for_each_alias(settings: Any) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {"use_lifo": "yes"}

    assert messages() == [
        Error(
            "SQLALCHEMY_QUEUEPOOL[\"use_lifo\"] must be True or False, not 'yes'.",
            id="pooled_db.E001",
        )
    ]


def test_an_alias_without_a_pool_is_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes(monkeypatch, OPTIONS={"pool": False}, CONN_MAX_AGE=60)

    assert messages() == []


@pytest.mark.usefixtures("may_connect")
def test_with_a_wrong_pool_the_server_is_not_asked(
    add_database: AddDatabase, attempts: list[str]
) -> None:
    add_database("wrong", OPTIONS={"pool": {"timeout": 0}})

    assert ids(databases=["wrong"]) == ["pooled_db.E001"]
    assert attempts == []


# E002: the middleware's settings.


def test_wrong_middleware_settings_are_errors(settings: Any) -> None:
    settings.POOLED_DB = {"CHECKOUT": "connection", "EXEMPT": ["("]}

    assert messages() == [
        Error(f"POOLED_DB{problem}", id="pooled_db.E002")
        for problem in (
            """["CHECKOUT"] must be "request" or "query", not 'connection'.""",
            (
                """["EXEMPT"] has '(' in it, which is no regular expression: missing """
                "), unterminated subpattern at position 0."
            ),
        )
    ]


@pytest.mark.parametrize("aliases", [None, ["default"], ["default", "plain"]])
def test_aliases_must_have_pools(
    settings: Any, add_database: AddDatabase, aliases: list[str] | None
) -> None:
    add_database("plain", OPTIONS={"pool": False})
    settings.POOLED_DB = {"ALIASES": aliases}

    assert messages() == [
        Error(
            f'POOLED_DB["ALIASES"] names {alias!r}, which has no pool.',
            id="pooled_db.E002",
        )
        for alias in (aliases or [])[1:]
    ]


def test_the_app_registers_them_and_djangos_checks_of_models_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered = {check_all_models}
    monkeypatch.setattr(registry, "registered_checks", registered)
    monkeypatch.setattr("pooled_db.asgi.install", lambda: None)
    monkeypatch.setattr("pooled_db.wsgi.install", lambda: None)

    AppConfig.create("pooled_db").ready()

    assert check_all_models not in registered
    assert checks.check_pools in registered
    assert check_models in registered
    assert check_models.tags == (Tags.models,)  # type: ignore[attr-defined]


# Without the checks.


@pytest.mark.parametrize("handler", [WSGIHandler, ASGIHandler])
@pytest.mark.parametrize("alias", ["default", "wrong"])
def test_django_does_not_start_with_a_wrong_pool_even_if_it_is_not_eager(
    add_database: AddDatabase,
    monkeypatch: pytest.MonkeyPatch,
    handler: Callable[[], object],
    alias: str,
) -> None:
    if alias == "default":
        changes(monkeypatch, OPTIONS={"pool": {"timeout": "5"}})
    else:
        add_database("wrong", OPTIONS={"pool": {"timeout": "5"}})

    with pytest.raises(ImproperlyConfigured, match=rf'"{alias}".*"timeout".*not \'5\''):
        handler()


@pytest.mark.usefixtures("may_connect")
def test_a_server_that_cannot_be_asked_is_an_error(attempts: list[str]) -> None:
    found = connections["default"].validation.check()
    assert [one.id for one in found] == ["pooled_db.E005"]
    assert attempts
