"""`manage.py check` on a site with models, with a server and without one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import Tags, run_checks
from django.db import connections

from pooled_db.backends.mysql.base import PooledMixin
from pooled_db.placement import MIDDLEWARE
from tests.checking import (
    NOWHERE,
    SESSIONS,
    AddDatabase,
    manage,
)
from tests.harness.server import Server
from tests.harness.servers import ServerFailed
from tests.sites import serve

APPS = [*django_settings.INSTALLED_APPS, "tests.checked"]
NAMED = ("check", "--database", "default")


def wrong_password(server: Server) -> dict[str, Any]:
    return {**server.database("pooled_site"), "PASSWORD": "hunter2"}


def no_database(server: Server) -> dict[str, Any]:
    return {**server.database("pooled_site"), "NAME": "nowhere"}


def no_server(server: Server) -> dict[str, Any]:
    return NOWHERE


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize(
    ("database", "code"),
    [(no_server, "200[23]"), (wrong_password, "1045"), (no_database, "1049")],
)
def test_a_database_that_cannot_be_used_is_one_error_and_no_traceback(
    server: Server, database: Any, code: str, pool: bool
) -> None:
    ended = manage(
        *NAMED,
        database=database(server),
        pool=pool,
        INSTALLED_APPS=APPS,
        MIDDLEWARE=django_settings.MIDDLEWARE if pool else [],
    )

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr
    assert len(re.findall(r"\(\w+\.[CEWI]\d+\)", ended.stderr)) == 1
    assert re.search(
        r"\?: \(pooled_db\.E005\) The database 'default' cannot be used: .+"
        rf"\(error {code}\)\.",
        ended.stderr,
    )
    assert len(ended.stderr.splitlines()) < 10


def test_migrate_says_the_same() -> None:
    ended = manage("migrate", INSTALLED_APPS=APPS)

    assert ended.returncode == 1
    assert "(pooled_db.E005)" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_pool_is_one_error_too(server: Server) -> None:
    ended = manage(
        *NAMED,
        database=server.database("pooled_site"),
        pool={"timeout": 0},
        INSTALLED_APPS=APPS,
    )

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert re.findall(r"\((pooled_db\.\w+)\)", ended.stderr) == ["pooled_db.E001"]


def test_a_site_that_is_right_hears_no_error(server: Server) -> None:
    ended = manage(*NAMED, database=server.database("pooled_site"), INSTALLED_APPS=APPS)

    assert ended.returncode == 0, ended.stderr
    assert "pooled_db" not in ended.stderr


def test_without_a_database_nothing_needs_a_server() -> None:
    ended = manage("check", INSTALLED_APPS=APPS)

    assert (ended.returncode, ended.stderr) == (0, "")


# Settings that are wrong.


WRONG_SETTINGS = [
    pytest.param({"pool": {"pool_sise": 3}}, "Did you mean 'pool_size'?", id="pool"),
    pytest.param(
        {"POOLED_DB": {"CHECKOUT": "conn"}},
        """POOLED_DB["CHECKOUT"] must be "request" or "query", not 'conn'.""",
        id="middleware",
    ),
]


@pytest.mark.parametrize(("settings", "said"), WRONG_SETTINGS)
@pytest.mark.parametrize("command", [("check",), ("runserver", "--noreload", "0")])
def test_commands_say_what_is_wrong(
    server: Server, command: tuple[str, ...], settings: dict[str, Any], said: str
) -> None:
    ended = manage(*command, database=server.database("pooled_site"), **settings)

    assert ended.returncode == 1
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("settings", "identifier"),
    [
        ({"pool": {"timeout": 0}}, "pooled_db.E001"),
        ({"POOLED_DB": {"EXEMPT": ["("]}}, "pooled_db.E002"),
        ({"MIDDLEWARE": [SESSIONS, MIDDLEWARE]}, "pooled_db.E004"),
    ],
)
def test_the_command_shows_what_is_wrong_and_no_traceback(
    server: Server, settings: dict[str, Any], identifier: str
) -> None:
    ended = manage("check", database=server.database("pooled_site"), **settings)

    assert ended.returncode == 1
    assert f"({identifier})" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_command_pools_says_it_in_one_line(tmp_path: Path) -> None:
    settings = {"STATE_DIR": str(tmp_path), "CHECKOUT": "conn"}
    ended = manage("pools", POOLED_DB=settings)

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert 'POOLED_DB["CHECKOUT"] must be' in line


@pytest.mark.parametrize(("settings", "said"), WRONG_SETTINGS)
@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_servers_do_not_start_and_say_why(
    kind: Any, settings: dict[str, Any], said: str
) -> None:
    with (
        pytest.raises(ServerFailed) as raised,
        serve(kind, database=NOWHERE, **settings),
    ):
        pass

    assert said in str(raised.value)


# Within a process that goes on.


@pytest.fixture
def models_of_everything(settings: Any) -> None:
    settings.INSTALLED_APPS = APPS


@pytest.mark.usefixtures("models_of_everything", "may_connect")
def test_what_was_assumed_for_a_check_is_not_believed_afterwards(
    monkeypatch: pytest.MonkeyPatch, add_database: AddDatabase, server: Server
) -> None:
    add_database("late")
    port = connections.settings["late"]["PORT"]
    monkeypatch.setitem(connections.settings["late"], "PORT", NOWHERE["PORT"])
    before = connections["late"]
    assert [m.id for m in run_checks(databases=["late"])] == ["pooled_db.E005"]
    assert connections["late"] is before

    monkeypatch.setitem(connections.settings["late"], "PORT", port)

    wrapper: Any = connections["late"]
    assert wrapper.mysql_is_mariadb is server.is_mariadb
    assert wrapper.mysql_version < (99,)


@pytest.mark.usefixtures("models_of_everything")
def test_a_plain_check_connects_to_nothing(attempts: list[str]) -> None:
    assert run_checks() == []

    assert attempts == []


@pytest.mark.usefixtures("models_of_everything", "may_connect")
@pytest.mark.parametrize("tags", [None, [Tags.models, Tags.database]])
def test_a_named_database_is_asked_what_it_can_do(
    monkeypatch: pytest.MonkeyPatch, tags: Any
) -> None:
    asked: list[str] = []
    asked_once: Any = PooledMixin.mysql_server_data
    original = asked_once.func

    def count(wrapper: PooledMixin) -> dict[str, Any]:
        asked.append(wrapper.alias)
        return {**original(wrapper), "default_storage_engine": "MyISAM"}

    connections["default"].close()
    del connections["default"]
    monkeypatch.setattr(asked_once, "func", count)
    try:
        told = {message.id for message in run_checks(tags=tags, databases=["default"])}
    finally:
        connections["default"].close()
        del connections["default"]

    assert set(asked) == {"default"}
    # MyISAM has no indexes on expressions.
    assert "models.W043" in told
