"""What is not about having a pooled connection stays the error that it is."""

from __future__ import annotations

import contextlib
import gc
import logging
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest
import sqlalchemy
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connections
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from MySQLdb.cursors import SSCursor

from pooled_db import PoolTimeout, pools
from pooled_db.exceptions import Reason
from pooled_db.request.refusals import refusal_log
from tests.checking import AddDatabase
from tests.harness.server import Server
from tests.loans import lend
from tests.site.views import ask

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

KILL_ITSELF = "KILL CONNECTION_ID()"
LOST = (1317, 1927, 2006, 2013, 2026)


def lose(using: str = "default") -> None:
    """Lose the connection; MySQL calls the first statement only interrupted."""
    with contextlib.suppress(OperationalError):
        ask(KILL_ITSELF, using=using)
    ask("SELECT 2", using=using)


def lose_pooled(request: HttpRequest) -> HttpResponse:
    lose()
    return HttpResponse("unreachable")


def lose_another_pooled(request: HttpRequest) -> HttpResponse:
    lose("other")
    return HttpResponse("unreachable")


def lose_while_reading(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    connection = connections["default"].connection
    cursor = connection.cursor(SSCursor)
    cursor.execute(
        "WITH RECURSIVE rows_of AS "
        "(SELECT 1 AS n UNION ALL SELECT n + 1 FROM rows_of WHERE n < 500) "
        "SELECT REPEAT('x', 100000), CONNECTION_ID() FROM rows_of"
    )
    _, number = cursor.fetchone()
    ask(f"KILL {number}", using="other")
    return HttpResponse(str(len(cursor.fetchall())))


def lose_unpooled(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    lose("unpooled")
    return HttpResponse("unreachable")


def lose_raw(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    connection = raw_connection()
    with contextlib.closing(connection), connection.cursor() as cursor:
        with contextlib.suppress(MySQLdb.Error):
            cursor.execute(KILL_ITSELF)
        cursor.execute("SELECT 1")
    return HttpResponse("unreachable")


def lose_an_engines(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    engine = sqlalchemy.create_engine("mysql+mysqldb://", creator=raw_connection)
    try:
        with engine.connect() as connection:
            with contextlib.suppress(sqlalchemy.exc.OperationalError):
                connection.exec_driver_sql(KILL_ITSELF)
            connection.exec_driver_sql("SELECT 1")
    finally:
        engine.dispose()
    return HttpResponse("unreachable")


def cannot_reach_another(request: HttpRequest) -> HttpResponse:
    ask("SELECT 1")
    raise MySQLdb.OperationalError(2003, "Can't connect to a server that has no pool")


def raw_connection() -> Any:
    wrapper: Any = connections["default"]
    return MySQLdb.connect(**wrapper.get_connection_params())


def mistake_in_a_handler(request: HttpRequest) -> HttpResponse:
    try:
        lose()
    except OperationalError as error:
        return HttpResponse(error.no_such_attribute)  # type: ignore[attr-defined]
    return HttpResponse("unreachable")


def not_found_in_a_handler(request: HttpRequest) -> HttpResponse:
    try:
        lose()
    except OperationalError as error:
        raise Http404 from error
    return HttpResponse("unreachable")


def denied_in_a_handler(request: HttpRequest) -> HttpResponse:
    try:
        lose()
    except OperationalError:
        raise PermissionDenied  # noqa: B904 - the point of the test
    return HttpResponse("unreachable")


def not_found_without_a_connection(request: HttpRequest) -> HttpResponse:
    try:
        raise PoolTimeout("default", Reason.TIMEOUT, 5.0, 4, 4, 7)
    except OperationalError as error:
        raise Http404 from error


class Kept:
    """Something large that a view has at hand."""


kept: list[weakref.ref[Kept]] = []


def lose_with_something_at_hand(request: HttpRequest) -> HttpResponse:
    at_hand = Kept()
    kept.append(weakref.ref(at_hand))
    lose()
    return HttpResponse(str(at_hand))


def mistake_above(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware that trips over the answer to a lost connection."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == 500:
            raise ValueError("a mistake of a middleware")
        return response

    return middleware


def too_large(request: HttpRequest) -> HttpResponse:
    limit = ask("SELECT @@max_allowed_packet")
    assert isinstance(limit, int)
    # So large that the client is still writing when the server hangs up.
    return HttpResponse(str(ask("SELECT LENGTH(%s)", "x" * (2 * limit))))


urlpatterns = [
    path(view.__name__, view)
    for view in (
        cannot_reach_another,
        denied_in_a_handler,
        lose_an_engines,
        lose_another_pooled,
        lose_pooled,
        lose_raw,
        lose_unpooled,
        lose_while_reading,
        lose_with_something_at_hand,
        mistake_in_a_handler,
        not_found_in_a_handler,
        not_found_without_a_connection,
        too_large,
    )
]


class Log:
    """What Django has logged, as text: the test's own list would keep frames."""

    def __init__(self) -> None:
        self.tracebacks: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1]:
            self.tracebacks.append(
                "".join(traceback.format_exception(record.exc_info[1]))
            )
        return False


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    logger = logging.getLogger("django.request")
    logger.addFilter(log)
    yield log
    logger.removeFilter(log)


@pytest.fixture
def site(settings: Any) -> Client:
    settings.ROOT_URLCONF = __name__
    refusal_log._last.clear()
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("view", "alias"),
    [
        ("lose_pooled", "default"),
        ("lose_another_pooled", "other"),
        ("lose_while_reading", "default"),
    ],
)
def test_a_pooled_connection_that_is_lost_is_a_503_with_its_alias(
    site: Client, view: str, alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert site.get(f"/{view}").status_code == 503

    (line,) = [
        record.getMessage() for record in caplog.records if record.name == "pooled_db"
    ]
    assert f"lost '{alias}'" in line


@pytest.mark.parametrize(
    "view", ["lose_raw", "lose_an_engines", "cannot_reach_another"]
)
def test_somebody_elses_connection_is_not_the_pools_to_answer_for(
    site: Client, log: Log, view: str
) -> None:
    assert site.get(f"/{view}").status_code == 500

    assert view in log.tracebacks[0]


def test_an_alias_without_a_pool_is_not_the_pools_to_answer_for(
    site: Client,
    log: Log,
    add_database: AddDatabase,
) -> None:
    add_database("unpooled", OPTIONS={"pool": False})

    assert site.get("/lose_unpooled").status_code == 500

    assert "lose_unpooled" in log.tracebacks[0]


@pytest.mark.parametrize(
    ("view", "status"),
    [
        ("mistake_in_a_handler", 500),
        ("not_found_in_a_handler", 404),
        ("not_found_without_a_connection", 404),
        ("denied_in_a_handler", 403),
    ],
)
def test_who_handles_the_error_answers_for_what_comes_then(
    site: Client, view: str, status: int
) -> None:
    assert site.get(f"/{view}").status_code == status


def test_a_mistake_in_a_handler_is_logged_with_its_traceback(
    site: Client, log: Log
) -> None:
    site.get("/mistake_in_a_handler")

    (told,) = log.tracebacks
    assert "AttributeError" in told
    assert "error.no_such_attribute" in told


def test_a_mistake_after_a_loss_is_not_hidden_by_it(
    site: Client, settings: Any, log: Log
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.mistake_above"]

    assert site.get("/lose_pooled").status_code == 500

    assert "a mistake of a middleware" in log.tracebacks[-1]


def test_djangos_log_shows_where_a_connection_was_lost(site: Client, log: Log) -> None:
    assert site.get("/lose_with_something_at_hand").status_code == 503

    (told,) = log.tracebacks
    of_the_driver, _, of_django = told.partition("direct cause")
    for part in (of_the_driver, of_django):
        assert "Traceback (most recent call last)" in part
        assert 'File "' in part
    assert "lose_with_something_at_hand" in of_django


def test_nothing_of_a_request_is_kept_alive_by_its_error(
    site: Client, log: Log
) -> None:
    kept.clear()
    response: Any = site.get("/lose_with_something_at_hand")
    assert response.status_code == 503
    request = response.wsgi_request
    del response
    gc.collect()

    (reference,) = kept
    assert reference() is None
    assert request.path == "/lose_with_something_at_hand"


# Too large for the server.


def test_a_statement_that_is_too_large_is_an_error_that_says_so(
    site: Client, log: Log
) -> None:
    for _ in range(3):
        response = site.get("/too_large")
        assert response.status_code == 500
        assert not response.has_header("Retry-After")

    assert len(log.tracebacks) == 3
    for told in log.tracebacks:
        assert "OperationalError: (1153, " in told
        assert "max_allowed_packet" in told


def test_the_next_request_gets_another_connection(site: Client) -> None:
    site.get("/too_large")

    pool = pools.for_alias("default")
    loan, connection = lend(pool)
    loan.checkin()
    assert connection.open


def test_nor_does_it_count_as_a_failure_of_the_server(site: Client) -> None:
    before = pools.for_alias("default").stats()
    site.get("/too_large")
    connections["default"].close()
    closed = pools.for_alias("default").stats().closed

    assert closed.get("doubtful", 0) == before.closed.get("doubtful", 0) + 1
    assert closed.get("dead", 0) == before.closed.get("dead", 0)


def test_a_large_statement_whose_connection_was_lost_is_lost(
    site: Client, server: Server
) -> None:
    """The server is asked, and it would have taken the statement."""
    connections["default"].close()
    loan, connection = lend(pools.for_alias("default"))
    try:
        admin = server.admin()
        with contextlib.closing(admin), admin.cursor() as cursor:
            cursor.execute(f"KILL {connection._id}")
        with pytest.raises(MySQLdb.OperationalError) as raised:
            connection.query(b"SELECT LENGTH('" + b"x" * 2**21 + b"')")
    finally:
        loan.discard()

    assert raised.value.args[0] in LOST
