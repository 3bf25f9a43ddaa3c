"""Who is shown the dashboard, and by which cookie, without a server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import include, path

import pooled_db
from pooled_db import pools, state
from pooled_db.dashboard import checks, snapshot, views
from pooled_db.pool.host import Host, Process, ProcessPool
from pooled_db.pool.reading import Held
from pooled_db.pool.stats import PoolStats
from pooled_db.watching import server_view
from pooled_db.watching.server_view import ServerView

View = Callable[[HttpRequest], HttpResponse]

ADMIN = "pooled_db_dashboard_pools_changelist"
SESSION = {"sessionid": "of the seer"}


@pytest.fixture(autouse=True)
def _site(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_URL = "/static/"
    settings.ROOT_URLCONF = (path("pools/", include("pooled_db.dashboard.urls")),)
    templates = Path(pooled_db.__file__).parent / "dashboard" / "templates"
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [templates]}]
    settings.POOLED_DB = {"EXEMPT": ["^pools/"], "STATE_DIR": str(tmp_path / "state")}


def user(
    *, known: bool = True, active: bool = True, staff: bool = True, may: bool = True
) -> Any:
    return SimpleNamespace(
        is_authenticated=known,
        is_active=active,
        is_staff=staff,
        has_perm=lambda name: may and name == "pooled_db_dashboard.view_pools",
    )


SEER = user()


def ask(
    view: View, what: str, cookies: dict[str, str], who: Any = None, method: str = "GET"
) -> tuple[HttpRequest, HttpResponse]:
    """Ask for *what*. Without *who*, to look at the user is an error."""
    request = RequestFactory().generic(method, f"/pools/{what}")
    request.COOKIES = cookies
    request.session = SessionBase()
    if who is not None:
        request.user = who
    return request, view(request)


@pytest.fixture
def remembered() -> dict[str, str]:
    """The cookies of whoever has been shown the page."""
    _, answer = ask(views.page, "", SESSION, SEER)
    return {
        **SESSION,
        "pooled_db_dashboard": answer.cookies["pooled_db_dashboard"].value,
    }


@pytest.mark.parametrize("is_secure", [False, True])
def test_whoever_may_is_shown_the_page_and_gets_a_cookie_for_an_hour(
    settings: Any, is_secure: bool
) -> None:
    settings.SESSION_COOKIE_SECURE = is_secure
    _, answer = ask(views.page, "", SESSION, SEER)

    assert answer.status_code == 200
    assert b'id="pools"' in answer.content
    assert "no-store" in answer["Cache-Control"]
    cookie = answer.cookies["pooled_db_dashboard"]
    assert (cookie["path"], cookie["max-age"]) == ("/pools/", 3600)
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert bool(cookie["secure"]) is is_secure


@pytest.mark.parametrize("lacks", ["active", "staff", "may"])
def test_nobody_else_is(lacks: str) -> None:
    who = user(**{lacks: False})
    with pytest.raises(PermissionDenied):
        ask(views.page, "", SESSION, who)
    _, answer = ask(views.renew, "renew", SESSION, who)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("has_admin", "where"), [(True, "/boss/login/"), (False, "/enter/")]
)
def test_people_log_in_where_the_site_has_its_login(
    settings: Any, has_admin: bool, where: str
) -> None:
    settings.LOGIN_URL = "/enter/"
    if has_admin:
        admin = ([path("login/", views.page, name="login")], "admin")
        settings.ROOT_URLCONF += (path("boss/", include(admin)),)
    _, answer = ask(views.page, "?alias=default", {}, user(known=False))
    assert answer["Location"] == f"{where}?next=/pools/%3Falias%3Ddefault"


@pytest.mark.parametrize(
    ("view", "what"), [(views.page, ""), (views.data, "data"), (views.server, "server")]
)
def test_whoever_is_remembered_is_answered_without_user_and_session(
    remembered: dict[str, str],
    view: View,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_view, "ask_pooled", lambda alias: ServerView())
    request, answer = ask(view, what, remembered)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    # Django would save it at the end of the request.
    assert not hasattr(request, "session")


@pytest.mark.parametrize(
    ("view", "what"), [(views.data, "data"), (views.server, "server")]
)
def test_whoever_is_not_is_told_what_is_needed(view: View, what: str) -> None:
    request, answer = ask(view, what, SESSION)
    assert answer.status_code == 403
    needed = "The permission pooled_db_dashboard.view_pools is needed, and to be staff."
    assert json.loads(answer.content) == {"detail": needed}
    assert not hasattr(request, "session")


def test_a_renewal_gives_the_cookie_anew_or_takes_it_back(
    remembered: dict[str, str],
) -> None:
    _, answer = ask(views.renew, "renew", SESSION, SEER)
    assert (answer.status_code, answer.content) == (204, b"")
    renewed = answer.cookies["pooled_db_dashboard"]
    assert (renewed["path"], renewed["max-age"]) == ("/pools/", 3600)

    _, answer = ask(views.renew, "renew", remembered, user(may=False))
    assert answer.status_code == 403
    ended = answer.cookies["pooled_db_dashboard"]
    assert (ended.value, ended["max-age"]) == ("", 0)
    # Of another path or kind it would be another cookie.
    assert (ended["path"], ended["samesite"]) == ("/pools/", "Lax")


@pytest.mark.parametrize("view", [views.page, views.data, views.server, views.renew])
def test_it_only_reads(view: View, remembered: dict[str, str]) -> None:
    assert ask(view, "", remembered, SEER, method="POST")[1].status_code == 405


@pytest.mark.parametrize("has_both", [True, False])
def test_its_page_in_the_admin_must_be_exempt_too(
    settings: Any, has_both: bool
) -> None:
    admin = ([path("pools/", views.page, name=ADMIN)], "admin")
    own = settings.ROOT_URLCONF if has_both else ()
    settings.ROOT_URLCONF = (*own, path("boss/", include(admin)))

    (message,) = checks.check_exempt()

    assert 'Add r"^boss/pools/" to' in str(message.hint)


# What it tells.


STATS = PoolStats(limit=9, in_use=2, idle=2, waiting=4, refused=5, at_work=1)


def process(pid: int, alias: str, *lent: float, **settings: Any) -> Process:
    """A process with loans that have lasted for so long."""
    loans = tuple(
        Held(10 * pid + number, "GET /a (view)", seconds, 0.5, False, 9.0)
        for number, seconds in enumerate(lent)
    )
    pool = ProcessPool(alias, STATS, loans, settings)
    return Process(pid, "here", "gunicorn", 99.0, {alias: pool})


def test_all_pools_are_told_with_the_host_and_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host((process(1, "default", 1.0), process(2, "former")))
    monkeypatch.setattr(state, "look", lambda: host)
    monkeypatch.setattr(time, "time", lambda: 1764460800.5)

    told = snapshot.snapshot()

    assert (told["host"], told["time"]) == (socket.gethostname(), 1764460800.5)
    assert told["problem"] is None
    assert {*told["aliases"]} == {"default", "former"}
    default, former = told["aliases"]["default"], told["aliases"]["former"]
    assert (default["stats"]["limit"], default["stats"]["at_rest"]) == (9, 1)
    assert [one["pid"] for one in default["processes"]] == [1]
    assert [one["pid"] for one in former["processes"]] == [2]
    assert "pool_size" in {option["name"] for option in default["settings"]}
    assert former["settings"] == []


def test_each_option_is_told_with_its_origin_and_who_has_another(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {"timeout": 3}
    options = {**connections.settings["default"]["OPTIONS"], "pool": {"pool_size": 3}}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)
    processes = [
        process(1, "default", pool_size=3, timeout=3.0),
        process(2, "default", pool_size=5, timeout=3.0),
        process(3, "default"),  # of an older release, which did not know it
    ]

    told = {one["name"]: one for one in snapshot._settings("default", processes)}

    assert told["pool_size"] == {
        "name": "pool_size",
        "value": "3",
        "origin": 'DATABASES["default"]["OPTIONS"]["pool"]["pool_size"]',
        "others": ["5 in process 2"],
    }
    timeout = told["timeout"]
    assert (timeout["origin"], timeout["others"]) == (
        'SQLALCHEMY_QUEUEPOOL["timeout"]',
        [],
    )
    assert told["recycle"]["origin"] == "default"


def test_loans_are_told_longest_first_and_processes_with_their_numbers() -> None:
    host = Host((process(1, "former", 1.0, 3.0), process(7, "former", 2.0)))

    told = snapshot._alias("former", host, STATS)

    assert [loan["connection_id"] for loan in told["loans"]] == [11, 70, 10]
    assert told["loans"][0] == {
        "pid": 1,
        "connection_id": 11,
        "page": "GET /a",
        "view": "view",
        "state": "at rest",
        "lent": 3.0,
        "rested": 0.5,
        "in_transaction": False,
    }
    assert [one["pid"] for one in told["processes"]] == [1, 7]
    assert told["processes"][1] == {
        "pid": 7,
        "host": "here",
        "program": "gunicorn",
        "started": 99.0,
        "limit": 9,
        "in_use": 2,
        "at_work": 1,
        "idle": 2,
        "waiting": 4,
        "refused": 5,
    }


@pytest.mark.parametrize(
    ("stats", "error", "told"),
    [
        (PoolStats(limit=2, in_use=1), None, None),
        (PoolStats(limit=2, in_use=1), "gone (error 2006)", "No answer: gone "),
        (PoolStats(limit=2, in_use=2), None, "Not asked: every connection "),
        (PoolStats(limit=2, in_use=1, waiting=1), None, "Not asked: every connection "),
    ],
)
def test_a_server_is_asked_where_a_connection_is_to_spare(
    monkeypatch: pytest.MonkeyPatch,
    stats: PoolStats,
    error: str | None,
    told: str | None,
) -> None:
    full = PoolStats(limit=2, in_use=2)
    of_pools = {"default": stats, "other": full, "replica": full}

    def for_alias(alias: str) -> Any:
        return SimpleNamespace(stats=lambda: of_pools[alias])

    def ask_pooled(alias: str) -> ServerView:
        return ServerView(server=f"of {alias}", error=error)

    monkeypatch.setattr(pools, "for_alias", for_alias)
    monkeypatch.setattr(server_view, "ask_pooled", ask_pooled)
    monkeypatch.setattr(time, "time", lambda: 1764460800.5)

    views = snapshot.server_snapshot()

    assert views["time"] == 1764460800.5
    default, *others = (views["aliases"][alias] for alias in of_pools)
    if told is None:
        assert default["server"] == "of default"
    else:
        assert default["problem"].startswith(told)
    for one in others:
        assert one["problem"].startswith("Not asked: every connection ")
