"""``python -m pooled_db`` tells what a report needs, and no secrets."""

from __future__ import annotations

import os
import re
import sys
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest
from django.db import OperationalError, connections

import pooled_db
from pooled_db import __main__ as environment
from pooled_db.placement import MIDDLEWARE
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
MIDDLEWARE = [
    "pooled_db.middleware.PooledConnectionMiddleware",
    # To import it takes models.
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
]
INSTALLED_APPS = ["pooled_db", "django.contrib.sites", "django.contrib.flatpages"]
POOLED_DB = {"EXEMPT": ["^the-path$"], "STATE_DIR": None}
"""


@pytest.fixture(autouse=True)
def _platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python starts a program to find it out."""
    monkeypatch.setattr("platform.platform", lambda: "Linux-6.1-x86_64")


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
    assert "middleware           at 1 of 2" in told
    assert "exempt (1 entries)" in told
    assert "server of default    cannot be asked: OperationalError 2002" in told
    assert "the" not in told.replace("the defaults", "").split()
    for secret in ("the key", "the_name", "the_user", "the password", "the text"):
        assert secret not in told
    assert "127.0.0.1" not in told
    assert "the-path" not in told


def test_it_tells_the_versions_of_all_that_may_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "version", lambda package: "1.0")
    told = dict(environment.report(None, ask=False))

    assert {name for name, version in told.items() if version == "1.0"} == {
        *("Django", "SQLAlchemy", "mysqlclient", "PyMySQL"),
        *("gunicorn", "uvicorn", "uWSGI", "granian", "hypercorn", "daphne", "gevent"),
        *("celery", "channels", "prometheus-client", "django-debug-toolbar"),
    }
    assert told["Python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert told["system"] == "Linux-6.1-x86_64"
    assert told["settings"] == "none: give --settings, or set DJANGO_SETTINGS_MODULE"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, bool]]:
    """What the program makes its report of."""
    asked: list[tuple[str | None, bool]] = []

    def report(settings: str | None, ask: bool) -> list[tuple[str, str]]:
        asked.append((settings, ask))
        return [("pooled_db", "1.0"), ("server of default", "11.8")]

    monkeypatch.setattr(environment, "report", report)
    return asked


@pytest.mark.parametrize(
    ("arguments", "variable", "reported"),
    [
        ((), None, (None, False)),
        ((), "shop.settings", ("shop.settings", False)),
        (("--settings", "shop.live"), None, ("shop.live", False)),
        (("--settings", "shop.live"), "shop.settings", ("shop.live", False)),
        (("--server",), "shop.settings", ("shop.settings", True)),
    ],
)
def test_the_settings_are_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: list[tuple[str | None, bool]],
    arguments: tuple[str, ...],
    variable: str | None,
    reported: tuple[str | None, bool],
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    if variable is not None:
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", variable)

    assert environment.main(arguments) == 0

    assert asked == [reported]
    assert capsys.readouterr().out == (
        "pooled_db            1.0\nserver of default    11.8\n"
    )


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        environment.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("usage: python -m pooled_db [-h]")
    for words in (
        "Tell what a report of a fault needs.",
        "the project's settings, if DJANGO_SETTINGS_MODULE does not name them",
        "ask each database server for its version",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, "11.8.9-MariaDB"),
        (OperationalError(2002, "to 'db1.internal'"), "OperationalError 2002"),
        (OperationalError(), "OperationalError "),
    ],
)
def test_a_server_tells_its_version_or_why_not_by_a_number_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, told: str
) -> None:
    executed: list[str] = []
    closed: list[None] = []

    def execute(sql: str) -> None:
        executed.append(sql)
        if error is not None:
            raise error

    cursor = SimpleNamespace(execute=execute, fetchone=lambda: ("11.8.9-MariaDB",))
    connection = SimpleNamespace(
        cursor=lambda: nullcontext(cursor), close=lambda: closed.append(None)
    )
    monkeypatch.setattr("django.db.connections", {"default": connection})

    answer = environment._server("default")

    assert answer == (told if error is None else f"cannot be asked: {told}")
    assert (executed, closed) == (["SELECT VERSION()"], [None])


def test_what_runs_from_a_checkout_tells_its_version_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(package: str) -> str:
        if package == "celery":
            return "5.7.0"
        raise PackageNotFoundError(package)

    monkeypatch.setattr(environment, "version", version)
    told = dict(environment.report(None, ask=False))

    assert told["pooled_db"] == pooled_db.__version__
    assert told["client library"] == MySQLdb.get_client_info()
    assert ("Django" in told, told["celery"]) == (False, "5.7.0")


def test_a_project_is_told_with_what_differs_from_the_defaults(
    settings: Any, monkeypatch: pytest.MonkeyPatch, add_database: AddDatabase
) -> None:
    settings.POOLED_DB = {"EXEMPT": ["^a", "^b"], "CHECKOUT": "query"}
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *2 * [MIDDLEWARE]]
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "another")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for alias, options in {
        "small": {"pool": {"pool_size": 2}, "init_command": "", "charset": "utf8mb4"},
        "plain": {"pool": True},
        "wrong": {"pool": {"pool_size": 0, "timeout": -1}},
    }.items():
        add_database(alias)
        monkeypatch.setitem(connections.settings[alias], "OPTIONS", options)
    told = dict(environment.report("tests.settings", ask=False))
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "tests.settings"
    assert told["middleware"] == "at 2, 3 of 3"
    assert told["POOLED_DB"] == "checkout 'query', exempt (2 entries)"
    engine = "pooled_db.backends.mysql; pool: "
    assert told["database small"] == (
        f"{engine}pool_size 2; other OPTIONS: charset, init_command"
    )
    assert told["database plain"] == f"{engine}the defaults; other OPTIONS: none"
    assert re.fullmatch(
        re.escape(engine) + r"DATABASES\[\"wrong\"\]\S+\"\] must be .*, not 0\. "
        r"DATABASES\S+\[\"timeout\"\] must be .*, not -1\.; other OPTIONS: none",
        told["database wrong"],
    )
    assert not [name for name in told if name.startswith("server of")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"CHECKOUT": "never"}, 'POOLED_DB["CHECKOUT"] must be "request" or "query"'),
        (
            {"CHECKOUT": "never", "AGE_HEADER": 5},
            (
                'POOLED_DB["CHECKOUT"] must be "request" or "query", not \'never\'. '
                'POOLED_DB["AGE_HEADER"] '
            ),
        ),
        (5, "POOLED_DB must be a dict, not 5."),
    ],
)
def test_a_project_without_the_middleware_or_with_mistakes_is_told_so(
    settings: Any, monkeypatch: pytest.MonkeyPatch, options: Any, told: str
) -> None:
    settings.POOLED_DB = options
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware"]
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    monkeypatch.setattr(sys, "path", [*sys.path])
    report = dict(environment.report("tests.settings", ask=False))
    assert report["middleware"] == "at no place of 1"
    assert report["POOLED_DB"].startswith(told)


def test_the_servers_of_the_kind_that_it_pools_are_asked(
    monkeypatch: pytest.MonkeyPatch, add_database: AddDatabase
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(environment, "_server", lambda alias: f"that of {alias}")
    add_database("plain", ENGINE="django.db.backends.mysql")
    add_database("lite", ENGINE="django.db.backends.sqlite3", NAME=":memory:")
    told = dict(environment.report("tests.settings", ask=True))
    assert told["server of default"] == "that of default"
    assert told["server of plain"] == "that of plain"
    assert told["database plain"] == "django.db.backends.mysql"
    assert told["database lite"] == "django.db.backends.sqlite3"
    assert "server of lite" not in told


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
