"""Checks: the middleware is where it belongs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.http import HttpRequest, HttpResponse

from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.model_checks import check_models
from pooled_db.placement import MIDDLEWARE
from pooled_db.request.admission import Admission
from tests.checking import (
    FIRST_ENTRY,
    SESSIONS,
    changes,
    messages,
)


class Subclass(PooledConnectionMiddleware):
    pass


def function_middleware(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    return get_response


SUBCLASS = f"{__name__}.Subclass"
FUNCTION = f"{__name__}.function_middleware"


@pytest.mark.parametrize("is_async", [False, True])
def test_django_calls_the_middleware_as_it_serves(
    settings: Any, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would put a thread or an event loop in between, for each request."""
    made: list[bool] = []

    def note(self: Subclass, get_response: Any) -> None:
        PooledConnectionMiddleware.__init__(self, get_response)
        made.append(self.is_async)

    monkeypatch.setattr(Subclass, "__init__", note)
    settings.MIDDLEWARE = [SUBCLASS]
    BaseHandler().load_middleware(is_async)
    assert made == [is_async]


@pytest.mark.parametrize("middleware", [[], [SESSIONS], [SESSIONS, FUNCTION]])
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


#: Django's middleware that may ask the database.
USES_DATABASE = [
    SESSIONS,
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
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


@pytest.mark.parametrize("engine", ["django.db.backends.oracle", "nowhere.at_all"])
def test_a_database_whose_driver_is_missing_is_its_users_affair(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setitem(sys.modules, "oracledb", None)
    monkeypatch.setitem(sys.modules, "cx_Oracle", None)
    elsewhere = {**connections.settings["default"], "ENGINE": engine}
    monkeypatch.setitem(connections.settings, "elsewhere", elsewhere)
    with pytest.raises((ImportError, ImproperlyConfigured)):
        connections["elsewhere"]

    assert messages() == []
    # Since 6.1 Django names all databases wherever models are checked.
    assert check_models(app_configs=[], databases=["elsewhere"]) == []
    assert Admission().eager == ["default"]
