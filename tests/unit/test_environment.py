"""``python -m pooled_db`` tells what a report needs, and no secrets."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

import pooled_db
from pooled_db import __main__ as environment
from tests.checking import AddDatabase
from tests.harness.processes import completed

SETTINGS = """
SECRET_KEY = "the key"
DATABASES = {
    "default": {
        "ENGINE": "pooled_db.backends.mysql",
        "NAME": "the_name", "USER": "the_user", "PASSWORD": "the password",
        "HOST": "127.0.0.1", "PORT": "1",
        "OPTIONS": {"pool": {"pool_size": 7}, "init_command": "SET @key = 'the text'"},
    },
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
MIDDLEWARE = ["pooled_db.middleware.PooledConnectionMiddleware"]
INSTALLED_APPS = ["pooled_db"]
POOLED_DB = {"EXEMPT": ["^the-path$"], "STATE_DIR": None}
"""


def _run(directory: Path, *arguments: str) -> str:
    env = {name: os.environ[name] for name in os.environ if name[:6] != "DJANGO"}
    command = [sys.executable, "-m", "pooled_db", *arguments]
    done = completed(command, env=env, cwd=directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_settings_it_tells_versions(tmp_path: Path) -> None:
    told = _run(tmp_path)

    assert f"pooled_db            {pooled_db.__version__}\n" in told
    assert "\nDjango " in told
    assert "\nclient library " in told
    assert "give --settings" in told


def test_with_settings_it_tells_what_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "site_settings.py").write_text(SETTINGS)

    told = _run(tmp_path, "--settings", "site_settings", "--server")

    assert "pool: pool_size 7; other OPTIONS: init_command" in told
    assert "middleware           at 1 of 1" in told
    assert "exempt (1 entries)" in told
    assert "server of default    cannot be asked: OperationalError 2002" in told
    assert "the" not in told.replace("the defaults", "").split()
    for secret in ("the key", "the_name", "the_user", "the password", "the text"):
        assert secret not in told
    assert "127.0.0.1" not in told
    assert "the-path" not in told


def test_what_runs_from_a_checkout_tells_its_version_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(environment, "version", version)
    told = dict(environment.report(None, ask=False))

    assert told["pooled_db"] == pooled_db.__version__


def test_a_project_is_told_with_what_differs_from_the_defaults(
    settings: Any, monkeypatch: pytest.MonkeyPatch, add_database: AddDatabase
) -> None:
    settings.POOLED_DB = {"EXEMPT": ["^a", "^b"], "CHECKOUT": "query"}
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for alias, options in {
        "small": {"pool": {"pool_size": 2}, "charset": "utf8mb4"},
        "plain": {"pool": True},
        "wrong": {"pool": {"pool_size": 0}},
    }.items():
        add_database(alias)
        monkeypatch.setitem(connections.settings[alias], "OPTIONS", options)
    told = dict(environment.report("tests.settings", ask=False))
    assert told["POOLED_DB"] == "checkout 'query', exempt (2 entries)"
    engine = "pooled_db.backends.mysql; pool: "
    assert told["database small"] == f"{engine}pool_size 2; other OPTIONS: charset"
    assert told["database plain"] == f"{engine}the defaults; other OPTIONS: none"
    assert "pool_size" in told["database wrong"]
    assert "the defaults" not in told["database wrong"]
    assert not [name for name in told if name.startswith("server of")]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "True"),
        (7, "7"),
        (0.5, "0.5"),
        (None, "None"),
        ("query", "'query'"),
        (("^a", "^b"), "(2 entries)"),
        (re.compile("a secret"), "(a Pattern)"),
        ({"Authorization": "a secret"}, "(a dict)"),
    ],
)
def test_a_value_is_told_if_nothing_of_the_sites_can_be_in_it(
    value: object, told: str
) -> None:
    assert environment._told(value) == told
