"""What both doors do with a request, whatever stands behind them."""

from __future__ import annotations

import asyncio
import logging.config
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.core import asgi as djangos_asgi
from django.core import wsgi as djangos_wsgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished
from django.test import RequestFactory
from django.test.client import ClientHandler
from django.urls import get_script_prefix, set_script_prefix

from pooled_db import asgi, placement, pools, wsgi
from pooled_db.pool.pool import Pool
from pooled_db.request import extra_headers
from pooled_db.request.current import begin_request, current_scope
from tests.errors import timeout

View = Callable[[], Any]
REQUEST = {"type": "http.request"}
both = pytest.mark.parametrize("kind", ["asgi", "wsgi"])


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    pool = pools.for_alias("default")
    monkeypatch.setattr(pool, "timeout", 0.01)
    return pool


def ask(
    kind: str,
    view: View = lambda: None,
    *,
    method: str = "GET",
    path: str = "/page",
    passing: str | None = None,
    headers: dict[str, str] | None = None,
) -> int:
    """Ask an application behind the door; return the status of the answer."""
    headers = headers or {}
    if kind == "wsgi":
        return _ask_wsgi(view, method, path, passing, headers)
    return asyncio.run(_ask_asgi(view, method, path, passing, headers))


def _ask_wsgi(
    view: View, method: str, path: str, passing: str | None, headers: dict[str, str]
) -> int:
    answered: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        assert environ["PATH_INFO"] == path
        view()
        start_response("200 OK", [])
        return [b"served"]

    request = RequestFactory().generic(method, path, headers=headers)
    door = wsgi.Door(application, passing)
    list(door(request.META, lambda status, headers: answered.append(status)))
    return int(answered[0].split()[0])


async def _ask_asgi(
    view: View, method: str, path: str, passing: str | None, headers: dict[str, str]
) -> int:
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"] == path
        assert await receive() == {"type": "http.request"}
        view()
        assert await receive() == REQUEST
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return REQUEST

    async def send(message: Any) -> None:
        sent.append(message)

    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": lines}
    await asgi.Door(application, passing)(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@both
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_application_is_not_called_for_who_is_refused(
    full_pool: Pool, kind: str, method: str
) -> None:
    assert ask(kind, pytest.fail, method=method) == 503


@both
def test_a_refusal_without_headers_of_the_settings_is_no_failure(
    full_pool: Pool, settings: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    extra_headers._logged_failures.clear()
    settings.POOLED_DB = {}
    assert ask(kind) == 503
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


@both
@pytest.mark.parametrize(
    ("path", "status"), [("/static/a.css", 200), ("/static", 503), ("/a/static/", 503)]
)
def test_paths_that_begin_with_what_passes_go_through(
    full_pool: Pool, kind: str, path: str, status: int
) -> None:
    scopes: list[object] = []

    def view() -> None:
        scopes.append(current_scope())

    assert ask(kind, view, path=path, passing="/static/") == status
    assert scopes == [None] * (status == 200)
    assert current_scope() is None


@both
@pytest.mark.parametrize("options", [{"CHECKOUT": "query"}, {"EXEMPT": ["^page"]}])
def test_who_takes_no_connection_at_its_start_goes_through(
    full_pool: Pool, settings: Any, kind: str, options: dict[str, Any]
) -> None:
    """What is open outside of the middleware is the thread's own."""
    settings.POOLED_DB = options
    scopes: list[object] = []
    assert ask(kind, lambda: scopes.append(current_scope())) == 200
    assert scopes == [None]


@both
def test_a_request_is_known_by_its_method_and_path(pool: Pool, kind: str) -> None:
    known: list[str] = []

    def view() -> None:
        scope = current_scope()
        assert scope is not None
        known.append(scope.describe())

    assert ask(kind, view, method="PATCH", path="/items/5") == 200
    assert known == ["PATCH /items/5"]


@pytest.mark.parametrize(
    ("script", "info"),
    [
        ("", "/page"),
        ("", ""),
        ("/shop", "/page"),
        ("/shop/", "/page"),
        ("/shop", "//page"),
        ("/shop", ""),
        ("/\xc3\xbcber", "/\xc3\xbc"),  # UTF-8, as WSGI has it
    ],
)
def test_under_wsgi_the_path_is_what_django_makes_of_it(script: str, info: str) -> None:
    environ = RequestFactory().get("/").environ
    environ.update({"SCRIPT_NAME": script, "PATH_INFO": info})
    assert wsgi.FromWSGI(environ).path == WSGIRequest(environ).path


@both
def test_what_the_application_has_not_taken_over_goes_back(
    pool: Pool, kind: str
) -> None:
    """As if it answers above the middleware."""
    scopes: list[object] = []

    def view() -> None:
        assert pool.gate.free == pool.gate.capacity - 1
        scopes.append(current_scope())

    assert ask(kind, view) == 200
    assert pool.gate.free == pool.gate.capacity


@both
def test_a_request_that_a_view_makes_of_its_own_site_does_not_queue(
    full_pool: Pool, kind: str
) -> None:
    """It is of the same request, which has a connection and would wait for itself."""
    outer = begin_request()
    assert outer is not None
    outer.entered = True
    inner: list[object] = []
    try:
        assert ask(kind, lambda: inner.append(current_scope())) == 200
        assert inner == [outer]
        assert outer.is_open
    finally:
        outer.close()


@both
def test_the_door_does_not_answer_for_what_goes_wrong_inside(
    pool: Pool, kind: str
) -> None:
    error = timeout()

    def view() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        ask(kind, view)
    assert raised.value is error
    assert pool.stats().refused == 0


@both
@pytest.mark.parametrize(
    ("setting", "headers", "status"),
    [
        ("X-Request-Start", {"X-Request-Start": "a second ago"}, 503),
        ("X-Request-Start", {}, 200),
        (None, {"X-Request-Start": "a second ago"}, 200),
    ],
)
def test_a_request_is_as_old_as_the_header_of_the_settings_says(
    pool: Pool,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    setting: str | None,
    headers: dict[str, str],
    status: int,
) -> None:
    monkeypatch.setattr(pool, "timeout", 0.5)
    settings.POOLED_DB = {"REQUEST_START_HEADER": setting}
    second_ago = f"t={time.time() - 1.0:.3f}"

    assert ask(kind, headers=dict.fromkeys(headers, second_ago)) == status


# The applications of Django, made here or by its own functions.

MAKES: dict[str, Callable[[], Any]] = {
    "asgi": asgi.get_asgi_application,
    "wsgi": wsgi.get_wsgi_application,
}


def configure_logging(configuration: dict[str, Any]) -> None:
    _configured.append(configuration)
    logging.config.dictConfig(configuration)


_configured: list[dict[str, Any]] = []


@both
def test_who_makes_the_application_has_django_set_up_as_by_its_own(
    settings: Any, kind: str
) -> None:
    """With its logging, and without the prefix, which is each request's."""
    settings.LOGGING_CONFIG = f"{__name__}.configure_logging"
    settings.FORCE_SCRIPT_NAME = "/shop"
    _configured.clear()
    before = get_script_prefix()
    try:
        MAKES[kind]()
        assert _configured == [settings.LOGGING]
        assert get_script_prefix() == before
    finally:
        set_script_prefix(before)


@pytest.mark.parametrize(
    "make",
    [
        asgi.get_asgi_application,
        asgi.DoorHandler,
        wsgi.get_wsgi_application,
        wsgi.DoorHandler,
    ],
    ids=lambda make: f"{make.__module__}.{make.__name__}",
)
def test_each_application_lets_pass_what_is_served_above_the_middleware(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> None:
    made: list[str | None] = []

    class Noting:
        def __init__(self, application: object, passing: str | None) -> None:
            made.append(passing)

    for module in (asgi, wsgi):
        monkeypatch.setattr(module, "Door", Noting)
    monkeypatch.setattr(placement, "served_above", lambda: "/static/")
    make()
    assert made == ["/static/"]


@pytest.mark.parametrize(
    ("make", "handler"),
    [
        (wsgi.get_wsgi_application, WSGIHandler),
        (wsgi.DoorHandler, wsgi.DoorHandler),
    ],
)
def test_what_is_left_is_closed_after_requests_that_the_application_has_served(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any], handler: type[object]
) -> None:
    """And not after those of the test client, whose connections are its test's."""
    closed: list[object] = []
    monkeypatch.setattr(request_finished, "receivers", [])
    monkeypatch.setattr(wsgi, "outsiders", {"a loan"})
    make()
    for sender in (ClientHandler, ASGIHandler, handler):
        monkeypatch.setattr(
            wsgi, "close_old_connections", partial(closed.append, sender)
        )
        request_finished.send(sender=sender)
    assert closed == [handler]


def test_the_app_puts_the_doors_into_djangos_own_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(djangos_asgi, "ASGIHandler", ASGIHandler)
    monkeypatch.setattr(djangos_wsgi, "WSGIHandler", WSGIHandler)

    apps.get_app_config("pooled_db").ready()

    assert isinstance(djangos_asgi.get_asgi_application(), asgi.DoorHandler)
    assert isinstance(djangos_wsgi.get_wsgi_application(), wsgi.DoorHandler)
