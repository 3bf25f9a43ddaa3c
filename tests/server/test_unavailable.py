"""Where a request can be refused its database, and what the client is told."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import MySQLdb
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.utils.decorators import async_only_middleware

from pooled_db import PoolTimeout, pools
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.pool import Pool
from pooled_db.request.refusals import refusal_log

MIDDLEWARE = "pooled_db.middleware.PooledConnectionMiddleware"
Ask = Callable[..., Any]
View = Callable[[HttpRequest], HttpResponse]

pytestmark = pytest.mark.django_db(transaction=True)


def asks_before_the_view(get_response: View) -> View:
    """Middleware below pooled_db's own that needs the database."""
    from tests.site.views import ask

    def middleware(request: HttpRequest) -> HttpResponse:
        ask("SELECT 1")
        return get_response(request)

    return middleware


@pytest.fixture(params=["sync", "async"])
def ask_site(request: pytest.FixtureRequest, like_a_server: None) -> Ask:
    """Send a request through the synchronous or the asynchronous handler."""

    def send(path: str, method: str = "get", **kwargs: Any) -> Any:
        if request.param == "sync":
            client = Client(raise_request_exception=False)
            return getattr(client, method)(path, **kwargs)

        async def send_async() -> Any:
            client = AsyncClient(raise_request_exception=False)
            return await getattr(client, method)(path, **kwargs)

        return async_to_sync(send_async)()

    return send


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    connections["default"].close()
    pool = pools.for_alias("default")
    monkeypatch.setattr(pool, "timeout", 0.01)
    return pool


def assert_is_503(response: Any, reason: str, retry: bool = True) -> None:
    assert response.status_code == 503
    assert response["Cache-Control"] == "no-store"
    assert response.has_header("Retry-After") is retry
    if response["Content-Type"] == "application/problem+json":
        assert json.loads(response.content)["reason"] == reason


def fail_to_connect(monkeypatch: pytest.MonkeyPatch, code: int, text: str) -> None:
    """Let a new pool of the default alias open nothing, for this error."""

    def fail() -> None:
        raise MySQLdb.OperationalError(code, text)

    pools.dispose("default")
    monkeypatch.setattr(pools.for_alias("default"), "connect", fail)


JSON = {"headers": {"accept": "application/json"}}


def test_a_full_pool_refuses_at_the_start(full_pool: Pool, ask_site: Ask) -> None:
    assert_is_503(ask_site("/queries", **JSON), "timeout")


def test_a_post_refused_at_the_start_may_be_tried_again(
    full_pool: Pool, ask_site: Ask
) -> None:
    assert_is_503(ask_site("/queries", "post", **JSON), "timeout", retry=True)


def test_an_exempt_path_is_never_queued(full_pool: Pool, ask_site: Ask) -> None:
    assert ask_site("/exempt/nothing").status_code == 200


def test_an_exempt_path_that_asks_the_database_after_all_gets_a_503(
    full_pool: Pool, ask_site: Ask
) -> None:
    assert_is_503(ask_site("/exempt/queries", **JSON), "timeout")


class TestCheckoutAtTheFirstQuery:
    @pytest.fixture(autouse=True)
    def _checkout_at_query(self, settings: Any) -> None:
        settings.POOLED_DB = {"CHECKOUT": "query"}

    def test_a_page_without_queries_is_served(
        self, full_pool: Pool, ask_site: Ask
    ) -> None:
        assert ask_site("/nothing").status_code == 200

    @pytest.mark.parametrize(
        "path", ["/queries", "/queries-async", "/item-async", "/in-template"]
    )
    def test_a_refusal_in_a_view_or_its_template_is_a_503(
        self, full_pool: Pool, ask_site: Ask, path: str
    ) -> None:
        assert_is_503(ask_site(path, **JSON), "timeout")

    def test_a_post_that_may_have_done_something_is_not_told_to_try_again(
        self, full_pool: Pool, ask_site: Ask
    ) -> None:
        assert_is_503(ask_site("/queries", "post", **JSON), "timeout", retry=False)

    def test_a_refusal_in_another_middleware_is_a_503(
        self, full_pool: Pool, ask_site: Ask, settings: Any
    ) -> None:
        settings.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.asks_before_the_view"]

        assert_is_503(ask_site("/nothing", **JSON), "timeout")
        assert_is_503(ask_site("/nothing", "post", **JSON), "timeout", retry=True)

    def test_a_refusal_while_a_session_is_read_is_a_503(
        self, full_pool: Pool, ask_site: Ask, settings: Any
    ) -> None:
        settings.MIDDLEWARE = [
            MIDDLEWARE,
            "django.contrib.sessions.middleware.SessionMiddleware",
        ]

        assert_is_503(ask_site("/session", **JSON), "timeout")

    def test_a_refusal_under_atomic_requests_is_a_503(
        self, full_pool: Pool, ask_site: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        default = connections.settings["default"]
        monkeypatch.setitem(default, "ATOMIC_REQUESTS", True)

        assert_is_503(ask_site("/queries", **JSON), "timeout")


@pytest.mark.parametrize("code", [1040, 1053, 1203, 2002, 2003, 2006, 2013])
def test_a_server_that_cannot_be_reached_is_a_503_with_its_own_reason(
    pool: Pool, ask_site: Ask, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_connect(monkeypatch, code, "secret-host refuses secret-user")

    response = ask_site("/queries", **JSON)

    assert_is_503(response, "unavailable")
    assert b"secret" not in response.content


def test_a_request_learns_at_its_start_that_the_server_is_away(
    pool: Pool, ask_site: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_connect(monkeypatch, 2002, "Can't connect")

    assert_is_503(ask_site("/nothing", **JSON), "unavailable")


def test_a_wrong_password_stays_the_error_that_it_is(
    pool: Pool, ask_site: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_connect(monkeypatch, 1045, "Access denied")

    assert ask_site("/queries").status_code == 500
    assert ask_site("/nothing").status_code == 200


def test_every_other_error_of_a_query_stays_what_it_is(ask_site: Ask) -> None:
    assert ask_site("/wrong-sql").status_code == 500
    assert ask_site("/fail-after-query").status_code == 500


def test_a_connection_lost_in_the_middle_is_a_503_with_its_traceback_logged(
    pool: Pool, ask_site: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    django = logging.getLogger("django")
    django.addHandler(caplog.handler)
    try:
        response = ask_site("/kill-self", **JSON)
    finally:
        django.removeHandler(caplog.handler)

    assert_is_503(response, "connection_lost")
    assert any(record.exc_info for record in caplog.records)


def test_a_post_whose_connection_was_lost_is_not_told_to_try_again(
    pool: Pool, ask_site: Ask
) -> None:
    response = ask_site("/kill-self", "post", **JSON)

    assert_is_503(response, "connection_lost", retry=False)


def test_a_head_request_gets_no_body(full_pool: Pool, ask_site: Ask) -> None:
    response = ask_site("/queries", "head")

    assert response.status_code == 503
    assert response.content == b""


def test_the_cause_is_logged_once_with_numbers(
    full_pool: Pool,
    ask_site: Ask,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusal_log, "_clock", lambda: 0.0)
    refusal_log._last.clear()
    for _ in range(5):
        ask_site("/queries")

    (line,) = [
        record.getMessage() for record in caplog.records if record.name == "pooled_db"
    ]
    assert "4 of 4 in use" in line


# Where Django cannot make its page for a 500 either.

urlpatterns: list[Any] = []


def handler500(request: HttpRequest) -> HttpResponse:
    """A page whose base template has a menu from the database."""
    from tests.site.views import ask

    return HttpResponse(f"{ask('SELECT 1')}", status=500)


@async_only_middleware
def asks_in_a_task(get_response: Any) -> Any:
    from tests.site.views import ask

    async def middleware(request: HttpRequest) -> HttpResponse:
        await sync_to_async(ask)("SELECT 1")
        response: HttpResponse = await get_response(request)
        return response

    return middleware


def trips(get_response: View) -> View:
    def middleware(request: HttpRequest) -> HttpResponse:
        raise ValueError("a mistake of a middleware")

    return middleware


class TestAPageFor500ThatNeedsTheDatabase:
    @pytest.fixture(autouse=True)
    def _urls(self, settings: Any) -> None:
        settings.ROOT_URLCONF = __name__

    def test_a_refusal_is_a_503_and_logged_as_by_a_server(
        self, full_pool: Pool, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.asks_before_the_view"]
        django = logging.getLogger("django.request")
        django.addHandler(caplog.handler)
        try:
            client: Any = Client(raise_request_exception=False)
            response = client.get("/", **JSON)
        finally:
            django.removeHandler(caplog.handler)

        assert_is_503(response, "timeout")
        told = {one for one in caplog.records if one.name == django.name}
        assert [one.getMessage() for one in told] == ["Internal Server Error: /"]
        assert all(one.exc_info for one in told)

    @pytest.mark.parametrize("asks", ["asks_before_the_view", "asks_in_a_task"])
    def test_a_refusal_is_a_503_under_asgi_too(
        self, full_pool: Pool, settings: Any, asks: str
    ) -> None:
        settings.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.{asks}"]

        async def ask() -> Any:
            client: Any = AsyncClient(raise_request_exception=False)
            return await client.get("/", **JSON)

        assert_is_503(async_to_sync(ask)(), "timeout")

    def test_a_mistake_stays_what_it_is(self, full_pool: Pool, settings: Any) -> None:
        settings.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.trips"]

        with pytest.raises(PoolTimeout):
            Client(raise_request_exception=False).get("/")

    def test_one_under_asgi_does_so_too(
        self, full_pool: Pool, like_a_server: None, rf: RequestFactory
    ) -> None:
        async def view(request: HttpRequest) -> HttpResponse:
            raise ValueError("a mistake of a middleware")

        middleware = PooledConnectionMiddleware(view)

        async def ask() -> Any:
            return await middleware(rf.get("/exempt/nothing"))

        with pytest.raises(ValueError, match="a mistake"):
            async_to_sync(ask)()

    def test_what_is_to_be_propagated_is(self, full_pool: Pool, settings: Any) -> None:
        settings.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.asks_before_the_view"]
        settings.DEBUG_PROPAGATE_EXCEPTIONS = True

        with pytest.raises(PoolTimeout):
            Client(raise_request_exception=False).get("/")


# What a proxy has waited for a client to send is no waiting for a connection.


def sent_long_ago() -> dict[str, Any]:
    header = {"x-request-start": f"t={time.time() - 30:.3f}"}
    return {"data": b"body", "content_type": "text/plain", "headers": header}


def test_the_age_of_a_slow_upload_is_not_known_under_asgi(
    pool: Pool, like_a_server: None, settings: Any
) -> None:
    settings.POOLED_DB = {"REQUEST_START_HEADER": "X-Request-Start"}

    async def upload() -> Any:
        return await AsyncClient().post("/queries", **sent_long_ago())

    assert async_to_sync(upload)().status_code == 200
    # Under WSGI the client may not have begun to send.
    client: Any = Client()
    assert client.post("/queries", **sent_long_ago()).status_code == 503
