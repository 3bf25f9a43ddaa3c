"""The door of WSGI in this process: what it takes, and what it waits for."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test.client import ClientHandler

from pooled_db import pools, wsgi
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import Permit
from pooled_db.pool.pool import Pool
from pooled_db.request import client as telling
from pooled_db.request.current import open_scope
from pooled_db.request.scope import Scope
from tests.site.views import ask

# Under WSGI the door takes what is idle for the middleware.


def ask_door(application: Callable[..., Any]) -> bytes:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/queries"}
    setup_testing_defaults(environ)
    return b"".join(wsgi.Door(application)(environ, lambda *args: None))


def behind_the_door(environ: dict[str, Any], start_response: Any) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        connections["default"].ensure_connection()
        return HttpResponse(f"{pools.for_alias('default').stats().in_use} in use")

    return PooledConnectionMiddleware(view)(WSGIRequest(environ))


def test_the_door_takes_what_is_idle_and_waits_for_no_server(pool: Pool) -> None:
    def seen(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        stats = pool.stats()
        held = pool.gate.capacity - pool.gate.free
        return [f"held {held}, in use {stats.in_use}, opened {stats.opened}".encode()]

    # None is idle, whichever test has used the pool before.
    pool._store.park_idle()
    pool._store.close_parked(float("inf"), least=0)
    opened = pool.stats().opened

    assert ask_door(seen) == f"held 1, in use 0, opened {opened}".encode()
    ask_door(behind_the_door)
    assert ask_door(seen) == f"held 1, in use 1, opened {opened + 1}".encode()
    assert pool.gate.free == pool.gate.capacity


def test_what_the_door_has_taken_goes_back_if_the_thread_has_one(pool: Pool) -> None:
    for loan in [pool.checkout() for _ in range(2)]:
        loan.checkin()
    connections["default"].ensure_connection()

    assert ask_door(behind_the_door) == b"1 in use"
    assert pool.gate.free == pool.gate.capacity


@pytest.mark.parametrize(
    ("make", "handler", "left"),
    [
        (wsgi.get_wsgi_application, WSGIHandler, 0),
        (get_wsgi_application, wsgi.DoorHandler, 0),
        # It runs in the thread of its test, which has the connection.
        (wsgi.get_wsgi_application, ClientHandler, 1),
    ],
    ids=["ours", "django's", "test client"],
)
def test_what_is_left_at_the_end_of_a_request_goes_back(
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], object],
    handler: type[object],
    left: int,
) -> None:
    monkeypatch.setattr(request_finished, "receivers", [])

    def leave(**kwargs: Any) -> None:
        ask("SET @left = 1")

    request_finished.connect(leave)
    make()
    request_finished.send(sender=handler)
    assert pool.stats().in_use == left


def test_whoever_is_left_with_a_connection_does_not_wait_for_it_at_the_door(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "timeout", 0.01)
    ask("SET @mine = 1")  # so that it is not on call
    permits = [Permit() for _ in range(pool.gate.free)]
    for permit in permits:
        pool.gate.acquire(permit, pool.timeout)
    try:
        assert ask_door(behind_the_door) == b"1 in use"
    finally:
        for permit in permits:
            pool.gate.release(permit)


# The project's function that tells clients apart is asked when no connection is free.


def test_a_function_that_waits_for_the_database_is_told_that_it_must_not(
    full_pool: Pool,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    telling._logged_failures.clear()
    monkeypatch.setattr(full_pool, "timeout", 0.01)
    called: list[object] = []
    logged: list[object] = []
    monkeypatch.setattr(
        telling.logger, "error", lambda *args, exc_info: logged.append(exc_info)
    )

    def by_session(headers: object) -> object:
        called.append(headers)
        return ask("SELECT 1")

    settings.POOLED_DB = {"CLIENT": by_session}

    ask_door(pytest.fail)

    assert len(called) == 1
    assert full_pool.stats().refused == 1
    (error,) = logged
    assert "must not wait for the database" in str(error)


def test_what_such_a_function_takes_all_the_same_goes_back(
    full_pool: Pool, settings: Any
) -> None:
    def by_session(headers: object) -> object:
        for permit in full_pool.gate.held()[:2]:
            full_pool.gate.release(permit)
        return ask("SELECT 1")

    settings.POOLED_DB = {"CLIENT": by_session}

    ask_door(behind_the_door)

    assert full_pool.gate.free == 2


def test_the_middleware_takes_what_the_door_has_only_let_in(pool: Pool) -> None:
    pool._store.park_idle()
    pool._store.close_parked(float("inf"), least=0)

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{pool.stats().in_use} in use")

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        return PooledConnectionMiddleware(view)(WSGIRequest(environ))

    assert ask_door(application) == b"1 in use"


def test_whom_a_task_has_let_in_goes_before_newcomers_later(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was let in without a connection, and others have called that back."""
    begun: list[bool] = []
    admit = pool.admit

    def admit_and_note(loan: Loan, *args: Any, **kwargs: Any) -> Loan:
        begun.append(loan.begun)
        return admit(loan, *args, **kwargs)

    async def let_in(scope: Scope) -> None:
        await scope.admit_async(pool)

    monkeypatch.setattr(pool, "admit", admit_and_note)
    scope = contextvars.copy_context().run(open_scope)
    asyncio.run(let_in(scope))
    scope.release()
    scope.check_out(pool)
    scope.close()

    assert begun == [True]
