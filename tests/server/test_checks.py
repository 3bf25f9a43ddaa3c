"""Checks: what somebody sees who has written something wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import MySQLdb
import pytest
from django.core.checks import CheckMessage, Error, Warning, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponse
from pytest_django import DjangoDbBlocker

import pooled_db
from pooled_db import pools
from pooled_db.backends.mysql.base import PooledMixin
from pooled_db.checks import MIDDLEWARE, USES_DATABASE
from pooled_db.middleware import PooledConnectionMiddleware
from tests.harness.processes import free_port
from tests.harness.server import Server
from tests.harness.servers import ServerFailed
from tests.sites import ROOT, serve, site_settings

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
FIRST_ENTRY = f'Make "{MIDDLEWARE}" the first entry of MIDDLEWARE.'

AddDatabase = Callable[..., None]


class Subclass(PooledConnectionMiddleware):
    pass


def function_middleware(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    return get_response


SUBCLASS = f"{__name__}.Subclass"
FUNCTION = f"{__name__}.function_middleware"


def messages(**kwargs: Any) -> list[CheckMessage]:
    """What pooled_db says. No models are checked."""
    return [
        message
        for message in run_checks(app_configs=[], **kwargs)
        if (message.id or "").startswith("pooled_db.")
    ]


def ids(**kwargs: Any) -> list[str | None]:
    return [message.id for message in messages(**kwargs)]


def changes(monkeypatch: pytest.MonkeyPatch, **database: Any) -> None:
    default = connections.settings["default"]
    for name, value in like_the_default(database).items():
        monkeypatch.setitem(default, name, value)


def like_the_default(database: dict[str, Any]) -> dict[str, Any]:
    """The default database's settings, its driver's options too, but for these."""
    default = connections.settings["default"]
    options = {**default["OPTIONS"], **database.get("OPTIONS", {})}
    return {**default, **database, "OPTIONS": options}


@pytest.fixture
def add_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[AddDatabase]:
    """Add an alias to DATABASES that is like the default one but for what is given."""
    added: list[str] = []

    def add(alias: str, **database: Any) -> None:
        monkeypatch.setitem(connections.settings, alias, like_the_default(database))
        added.append(alias)

    yield add
    for alias in added:
        connections[alias].close()
        pools.dispose(alias)
        del connections[alias]


@pytest.fixture
def may_connect(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The aliases to which a connection was attempted: no server answers."""
    attempted: list[str] = []

    def fail(wrapper: PooledMixin) -> None:
        attempted.append(wrapper.alias)
        raise MySQLdb.OperationalError(2003, "Can't connect to server")

    monkeypatch.setattr(PooledMixin, "open_connection", fail)
    return attempted


# A project that is right.


def test_a_project_that_is_right_hears_nothing() -> None:
    assert run_checks(app_configs=[]) == []


@pytest.mark.usefixtures("may_connect")
def test_a_database_that_is_right_hears_nothing() -> None:
    assert run_checks(databases=["default", "other"]) == []


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
        *(f"pooled_db.I{number:03}" for number in range(1, 3)),
        *(f"pooled_db.W{number:03}" for number in range(1, 7)),
    ]


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
                    "least 0, not -1."
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


# The place of the middleware.


@pytest.mark.parametrize("middleware", [[], [SESSIONS], [FUNCTION]])
def test_a_pool_without_middleware_is_a_warning(
    settings: Any, middleware: list[str]
) -> None:
    settings.MIDDLEWARE = middleware

    assert messages() == [
        Warning(
            "The pool has no middleware: a request that gets no connection is answered "
            "with a 500.",
            hint=FIRST_ENTRY,
            id="pooled_db.W001",
        )
    ]


def test_middleware_without_a_pool_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for database in list(connections.settings.values()):
        monkeypatch.setitem(database, "OPTIONS", {"pool": False})

    assert messages() == [
        Warning(
            f"{MIDDLEWARE} has nothing to do: no database is pooled.",
            hint='Set DATABASES["default"]["ENGINE"] to "pooled_db.backends.mysql".',
            id="pooled_db.W002",
        )
    ]


def test_neither_pool_nor_middleware_is_nothing_to_talk_about(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    for database in list(connections.settings.values()):
        monkeypatch.setitem(database, "OPTIONS", {"pool": False})
    settings.MIDDLEWARE = [SESSIONS]

    assert messages() == []


def test_one_alias_with_a_pool_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    changes(monkeypatch, OPTIONS={"pool": False})

    assert messages() == []


@pytest.mark.parametrize(
    "middleware",
    [
        [MIDDLEWARE, MIDDLEWARE],
        [MIDDLEWARE, SESSIONS, MIDDLEWARE],
        [SUBCLASS, MIDDLEWARE],
    ],
)
def test_middleware_that_stands_twice_is_an_error(
    settings: Any, middleware: list[str]
) -> None:
    settings.MIDDLEWARE = middleware

    assert messages() == [
        Error(
            f"{MIDDLEWARE} stands 2 times in MIDDLEWARE.",
            hint="Keep the first and remove the others.",
            id="pooled_db.E003",
        )
    ]


@pytest.fixture
def more_apps(settings: Any) -> None:
    """Apps without which their middleware cannot be imported."""
    settings.SITE_ID = 1
    settings.INSTALLED_APPS = [
        *settings.INSTALLED_APPS,
        "django.contrib.sites",
        "django.contrib.flatpages",
        "django.contrib.redirects",
    ]


@pytest.mark.usefixtures("more_apps")
@pytest.mark.parametrize("ours", [MIDDLEWARE, SUBCLASS])
@pytest.mark.parametrize("above", USES_DATABASE)
def test_middleware_below_one_that_uses_the_database_is_an_error(
    settings: Any, above: str, ours: str
) -> None:
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", above, ours]

    assert messages() == [
        Error(
            f"{above} may use the database and stands above {MIDDLEWARE}.",
            hint=FIRST_ENTRY,
            id="pooled_db.E004",
        )
    ]


@pytest.mark.usefixtures("more_apps")
@pytest.mark.parametrize(
    "middleware",
    [
        [SUBCLASS],
        [SUBCLASS, *USES_DATABASE],
        [MIDDLEWARE, FUNCTION],
        [FUNCTION, MIDDLEWARE, SESSIONS],
        ["django.middleware.security.SecurityMiddleware", MIDDLEWARE, SESSIONS],
    ],
)
def test_middleware_in_its_place_is_right(settings: Any, middleware: list[str]) -> None:
    settings.MIDDLEWARE = middleware

    assert messages() == []


@pytest.mark.parametrize(
    "broken", ["no.such.module.Middleware", f"{__name__}.Missing", "nowhere", ""]
)
def test_a_path_that_leads_nowhere_is_left_to_django(
    settings: Any, broken: str
) -> None:
    settings.MIDDLEWARE = [broken, MIDDLEWARE]

    assert messages() == []


# E005: the server.


def test_an_unreachable_server_is_an_error_with_what_to_do(
    add_database: AddDatabase, may_connect: None
) -> None:
    add_database("gone", HOST="127.0.0.1", PORT=free_port(), PASSWORD="hunter2")

    (message,) = messages(databases=["gone"])

    assert isinstance(message, Error)
    assert message.id == "pooled_db.E005"
    assert re.fullmatch(
        r"The database 'gone' cannot be used: Can't connect to .+ \(error 200[23]\)\.",
        message.msg,
    )
    assert message.hint == (
        "Start the server, or correct HOST, PORT, USER, PASSWORD and NAME in "
        'DATABASES["gone"].'
    )
    assert "hunter2" not in str(message)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"PASSWORD": "hunter2"}, r"Access denied for user .+ \(error 1045\)\."),
        ({"NAME": "nowhere"}, r"Unknown database 'nowhere' \(error 1049\)\."),
    ],
)
@pytest.mark.parametrize("pool", [True, False])
def test_what_the_server_objects_to_is_an_error_in_its_words(
    add_database: AddDatabase,
    may_connect: None,
    wrong: dict[str, Any],
    said: str,
    pool: bool,
) -> None:
    add_database("refused", OPTIONS={"pool": pool}, **wrong)

    (message,) = messages(databases=["refused"])

    assert message.id == "pooled_db.E005"
    assert re.fullmatch(f"The database 'refused' cannot be used: {said}", message.msg)


def test_a_server_that_is_too_old_for_django_is_an_error_in_djangos_words(
    add_database: AddDatabase, may_connect: None
) -> None:
    add_database("old")
    features: Any = connections["old"].features
    features.minimum_database_version = (99, 9)

    (message,) = messages(databases=["old"])

    assert message.id == "pooled_db.E005"
    assert re.fullmatch(
        r"The database 'old' cannot be used: \w+ 99\.9 or later is required "
        r"\(found [\d.]+\)\.",
        message.msg,
    )


@pytest.mark.usefixtures("may_connect")
def test_a_server_that_is_back_is_checked_again(
    add_database: AddDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_database("gone", PORT=free_port())
    assert ids(databases=["gone"]) == ["pooled_db.E005"]

    monkeypatch.setitem(
        connections.settings["gone"], "PORT", connections.settings["default"]["PORT"]
    )

    assert ids(databases=["gone"]) == []


@pytest.mark.usefixtures("may_connect")
def test_only_the_databases_that_are_named_are_asked(
    add_database: AddDatabase, attempts: list[str]
) -> None:
    add_database("gone")
    add_database("unnamed")

    messages(databases=["gone"])

    assert set(attempts) == {"gone"}


# What is seen from outside.

#: Nobody listens on it.
NOWHERE = {
    "HOST": "127.0.0.1",
    "PORT": free_port(),
    "NAME": "shop",
    "USER": "shop_user",
    "PASSWORD": "hunter2",
}

WRONG_SETTINGS = [
    pytest.param({"pool": {"pool_sise": 3}}, "Did you mean 'pool_size'?", id="pool"),
    pytest.param(
        {"POOLED_DB": {"CHECKOUT": "conn"}},
        """POOLED_DB["CHECKOUT"] must be "request" or "query", not 'conn'.""",
        id="middleware",
    ),
]


def manage(
    *arguments: str, database: dict[str, Any] = NOWHERE, **settings: Any
) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONWARNINGS": "error",
        "TEST_SETTINGS": json.dumps(site_settings(database, **settings)),
    }
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=env,
        cwd=ROOT,
        check=False,
        text=True,
        capture_output=True,
    )


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
