"""The door that Django's own functions put in front, by the settings alone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.servers.basehttp import get_internal_wsgi_application
from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application
from django.db import connections

from pooled_db import asgi, placement, pools, wsgi
from pooled_db.pool.pool import Pool
from pooled_db.request import extra_headers

Ask = Callable[..., tuple[int, dict[str, str]]]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Pool:
    connections["default"].close()
    pool = pools.for_alias("default")
    monkeypatch.setattr(pool, "timeout", 0.01)
    return pool


@pytest.fixture
def started() -> Iterator[list[object]]:
    """What Django has begun to serve."""
    seen: list[object] = []

    def note(**kwargs: object) -> None:
        seen.append(kwargs.get("environ") or kwargs.get("scope"))

    request_started.connect(note)
    yield seen
    request_started.disconnect(note)


def ask_asgi(application: Any, path: str = "/nothing", **headers: str) -> Any:
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
    }
    asyncio.run(application(scope, receive, send))
    answered = {
        name.decode().title(): text.decode() for name, text in sent[0]["headers"]
    }
    return sent[0]["status"], answered


def ask_wsgi(application: Any, path: str = "/nothing", **headers: str) -> Any:
    answer: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        **{f"HTTP_{name.upper()}": text for name, text in headers.items()},
    }
    body = application(environ, lambda *args: answer.extend(args))
    list(body)
    if hasattr(body, "close"):
        body.close()
    return int(answer[0].split()[0]), dict(answer[1])


BOTH = [
    pytest.param(get_asgi_application, ask_asgi, asgi, id="asgi"),
    pytest.param(get_wsgi_application, ask_wsgi, wsgi, id="wsgi"),
]
both = pytest.mark.parametrize(("make", "ask", "module"), BOTH)


@both
def test_djangos_own_application_refuses_before_django_begins(
    full_pool: Pool, started: list[object], make: Any, ask: Ask, module: Any
) -> None:
    application = make()

    assert ask(application)[0] == 503
    assert started == []
    assert ask(application, "/exempt/nothing")[0] == 200


@both
def test_without_the_door_the_middleware_refuses(
    full_pool: Pool,
    started: list[object],
    settings: Any,
    make: Any,
    ask: Ask,
    module: Any,
) -> None:
    settings.POOLED_DB = {"DOOR": False}

    assert ask(make())[0] == 503
    assert len(started) == 1


@both
def test_without_the_middleware_there_is_no_door(
    full_pool: Pool, settings: Any, make: Any, ask: Ask, module: Any
) -> None:
    settings.MIDDLEWARE = []

    assert ask(make())[0] == 200


@both
def test_the_explicit_form_needs_no_setting(
    full_pool: Pool,
    started: list[object],
    settings: Any,
    make: Any,
    ask: Ask,
    module: Any,
) -> None:
    settings.POOLED_DB = {"DOOR": False}
    explicit = getattr(module, make.__name__)

    assert ask(explicit())[0] == 503
    assert started == []


@both
def test_one_request_never_passes_two_doors(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, make: Any, ask: Ask, module: Any
) -> None:
    opened: list[object] = []
    open_scope = module.open_scope

    def open_and_note() -> object:
        opened.append(scope := open_scope())
        return scope

    monkeypatch.setattr(module, "open_scope", open_and_note)

    assert ask(module.Door(make()))[0] == 200
    assert len(opened) == 1
    assert pool.gate.free == pool.gate.capacity


def test_runserver_has_the_door(full_pool: Pool, started: list[object]) -> None:
    assert ask_wsgi(get_internal_wsgi_application())[0] == 503
    assert started == []


@both
def test_static_files_that_whitenoise_serves_do_not_queue(
    full_pool: Pool, settings: Any, make: Any, ask: Ask, module: Any
) -> None:
    settings.STATIC_URL = "https://testserver/assets/"
    ours = settings.MIDDLEWARE
    below = [*ours, placement.WHITENOISE]
    for none_above in ([], [placement.WHITENOISE], ours, below, [*below, *ours]):
        settings.MIDDLEWARE = none_above
        assert placement.served_above() is None
    settings.MIDDLEWARE = [placement.WHITENOISE, *ours]
    passing = placement.served_above()
    settings.MIDDLEWARE = []  # it is not installed here

    door = module.Door(make(), passing)

    assert ask(door, "/assets/site.css")[0] == 404
    assert ask(door, "/nothing")[0] == 503


# Headers that no middleware could add.


@both
def test_refusals_have_the_headers_of_the_settings(
    full_pool: Pool, settings: Any, make: Any, ask: Ask, module: Any
) -> None:
    settings.POOLED_DB = {
        "HEADERS": {
            "X-Frame-Options": "DENY",
            "cache-control": "public",
            "Vary": "Origin",
        }
    }

    status, headers = ask(make())

    assert status == 503
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Vary"].startswith("Accept, ")
    assert headers["Vary"].endswith(", Origin")


@both
def test_a_function_makes_headers_of_path_and_origin(
    full_pool: Pool, settings: Any, make: Any, ask: Ask, module: Any
) -> None:
    def headers_for(path: str, origin: str | None) -> dict[str, str]:
        return {"Access-Control-Allow-Origin": f"{origin} {path}"}

    settings.POOLED_DB = {"HEADERS": headers_for}

    _, headers = ask(make(), origin="https://a.example")
    assert headers["Access-Control-Allow-Origin"] == "https://a.example /nothing"
    _, headers = ask(make())
    assert headers["Access-Control-Allow-Origin"] == "None /nothing"


@both
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"X-A": "a\r\n"}, "what it returned has 'a\\r\\n' for X-A"),
        (None, "what it returned must be a dict, not None"),
        (KeyError("no"), "it raised KeyError"),
    ],
)
def test_a_function_that_fails_spoils_no_refusal_and_is_logged_once(
    full_pool: Pool,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    make: Any,
    ask: Ask,
    module: Any,
    wrong: Any,
    said: str,
) -> None:
    extra_headers._logged_failures.clear()
    logged: list[str] = []
    monkeypatch.setattr(
        extra_headers.logger,
        "error",
        lambda line, *args, **kwargs: logged.append(line % args),
    )

    def headers_for(path: str, origin: str | None) -> Any:
        if isinstance(wrong, Exception):
            raise wrong
        return wrong

    settings.POOLED_DB = {"HEADERS": headers_for}
    application = make()
    for _ in range(3):
        status, headers = ask(application)
        assert status == 503
        assert "X-A" not in headers

    (line,) = logged
    assert said in line
