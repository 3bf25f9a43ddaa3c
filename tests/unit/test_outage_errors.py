"""Errors of servers, clusters and proxies, said by a fake server at each step.

What a real server says is in tests/server/test_driver_errors.py. TEST_DRIVER=pymysql
runs this with PyMySQL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest
from django.db import OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.driver.connection import Connection
from pooled_db.driver.errors import SIGNS, Sign, has_no_room
from pooled_db.exceptions import Reason
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool import limit
from pooled_db.pool.pool import Pool
from pooled_db.request.diagnosis import diagnose
from tests.checking import AddDatabase
from tests.documentation import DOCS
from tests.harness.fake_server import FakeServer, Step
from tests.loans import lend

APPENDING = "Error while appending streaming replication fragment"
#: What a server or proxy of the kind says, as their sources have it.
TEXTS = {
    1040: [
        "Too many connections",
        "Too many connections to MySQL Router",
        "Demasiadas",
    ],
    1047: ["WSREP has not yet prepared node for application use"],
    1180: [
        'Got error 6 "No such device or address" during COMMIT',
        "Got error 7 - 'Internal provider failure' during COMMIT",
        'Got error 10 "No child processes" during COMMIT',
        f"{APPENDING}(provider status: Not connected to Primary Component)",
    ],
    1226: [
        "User 'u' has exceeded the 'max_user_connections' resource (current value: 5)"
    ],
    1290: [
        "The MariaDB server is running with the --read-only option so it cannot run",
        "El servidor MySQL está corriendo con la opción --super-read-only",
    ],
    3100: ["Error on observer while running replication hook 'before_commit'."],
    4094: ["All queries have been blocked while 'group_replication_set_as_primary()'"],
    9001: ["Max connect timeout reached while reaching hostgroup 10 after 10000ms"],
    9002: ["Max connect failure while reaching hostgroup 10"],
}
ALL = [
    pytest.param(sign, text, id=f"{sign.code} {number}")
    for sign in SIGNS
    for number, text in enumerate(TEXTS.get(sign.code, ["whatever it says"]))
]
#: The same numbers, and others of the kind, that stay errors.
ERRORS = [
    (1040, "User 'admin' can only connect locally"),
    (1047, "Unknown command"),
    (1047, "Unsupported 'LOAD DATA LOCAL INFILE' command"),
    (1180, 'Got error 28 "No space left on device" during COMMIT'),
    (1180, 'Got error 5 "Input/output error" during COMMIT'),
    (1180, 'Got error 6 "No such device or address" during ROLLBACK'),
    (1180, f"{APPENDING}(provider status: Transaction size exceeded)"),
    (1205, "Lock wait timeout exceeded; try restarting transaction"),
    (1213, "Deadlock found when trying to get lock; try restarting transaction"),
    (1226, "User 'u' has exceeded the 'max_queries_per_hour' resource"),
    (1226, "User 'u' has exceeded the 'max_connections_per_hour' resource"),
    (1290, "The MySQL server is running with the --secure-file-priv option so it"),
    (1290, "The server is running with the --skip-grant-tables option"),
    (3100, "Error on observer while running replication hook 'before_dml'."),
    (3101, "Plugin instructed the server to rollback the current transaction."),
    (4094, "something else"),
    (9001, "something else"),
    (9002, "something else"),
    (9003, "Command not supported"),
    (9005, "Session trying to reach HG 1 while locked on HG 0. Rejecting query: a"),
    (9006, "ProxySQL Error: connection is locked to hostgroup 1"),
]
#: MariaDB Connector/C gives this number to errors that are sent with a client's own.
MALFORMED = 2027
CLIENTS_OWN = (range(2000, 3000), range(5000, 6000))
READS_OWN_NUMBERS = MySQLdb.__name__ == "pymysql" or not (
    MySQLdb.get_client_info().startswith("3.")
)


@pytest.fixture
def pool(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    # Of a server without room it is said at once, too.
    monkeypatch.setattr(limit, "PATIENCE", 0.0)

    def connect() -> Connection:
        return Connection(
            host=server.host,
            port=server.port,
            user="any",
            password="any",
            autocommit=True,
        )

    pool = Pool("fake", connect, pool_size=1)
    yield pool
    assert (pool.gate.free, pool.checkedout()) == (1, 0)
    pool.dispose()


def as_it_arrives(sign: Sign) -> Sign:
    """Return what the driver makes of *sign*."""
    if READS_OWN_NUMBERS or not any(sign.code in numbers for numbers in CLIENTS_OWN):
        return sign
    return next(sign for sign in SIGNS if sign.code == MALFORMED)


def run(connection: Connection, step: Step) -> None:
    if step == "commit":
        connection.commit()
    else:
        connection.query("UPDATE items SET n = 1")


def error_of(function: Callable[[], object]) -> BaseException:
    with pytest.raises(MySQLdb.Error) as raised:
        function()
    return raised.value


@pytest.mark.parametrize("step", ["greeting", "login"])
@pytest.mark.parametrize(("sign", "text"), ALL)
def test_an_outage_while_connecting(
    server: FakeServer, pool: Pool, sign: Sign, text: str, step: Step
) -> None:
    server.says(step, sign.code, text)

    error = error_of(pool.checkout)

    expected = as_it_arrives(sign).connecting
    assert isinstance(error, ServerUnavailable) is (expected is not None)
    if expected is not None:
        assert diagnose(error) == (Reason.UNAVAILABLE, error)


@pytest.mark.parametrize("step", ["query", "commit"])
@pytest.mark.parametrize(("sign", "text"), ALL)
def test_an_outage_in_a_statement_closes_the_connection(
    server: FakeServer, pool: Pool, sign: Sign, text: str, step: Step
) -> None:
    loan, connection = lend(pool)
    server.says(step, sign.code, text)
    error = error_of(lambda: run(connection, step))
    loan.checkin()
    server.recovers()

    assert diagnose(error) == (as_it_arrives(sign).reason, error)
    lend(pool)[0].checkin()
    assert pool.stats().opened == 2


@pytest.mark.parametrize("step", ["query", "commit"])
@pytest.mark.parametrize(("code", "text"), ERRORS)
def test_what_only_looks_like_an_outage_stays_an_error(
    server: FakeServer, pool: Pool, code: int, text: str, step: Step
) -> None:
    loan, connection = lend(pool)
    server.says(step, code, text)
    error = error_of(lambda: run(connection, step))
    loan.checkin()

    assert diagnose(error) is None
    assert error.args == (code, text)
    if step == "query":
        lend(pool)[0].checkin()
        assert pool.stats().opened == 1


def test_the_room_of_one_that_is_closed_is_tried_at_once(
    server: FakeServer, pool: Pool
) -> None:
    pool = Pool("fake", pool.connect, pool_size=3, timeout=0.05)
    loans = [pool.checkout() for _ in range(2)]
    server.says("greeting", 1040, "Too many connections")
    with pytest.raises(PoolTimeout):
        pool.checkout()
    outage = pool._connector.outages.of(None)
    assert outage.is_known
    assert outage.retry_at > 0.0

    loans.pop().discard()
    assert outage.retry_at == 0.0
    loans.pop().discard()


def test_one_that_is_closed_says_nothing_of_a_server_that_is_away(pool: Pool) -> None:
    def does_not_answer() -> Connection:
        raise MySQLdb.OperationalError(2003, "Can't connect to server")

    pool = Pool("fake", pool.connect, pool_size=2)
    loan = pool.checkout()
    elsewhere: Any = object()
    with pytest.raises(ServerUnavailable):
        pool.checkout(leading=(elsewhere, does_not_answer))
    outage = pool._connector.outages.of(elsewhere)
    retry_at = outage.retry_at

    loan.discard()
    assert outage.retry_at == retry_at > 0.0
    pool.dispose()


@pytest.mark.parametrize(("sign", "text"), ALL)
def test_a_session_that_cannot_be_made_new_is_closed_and_nobody_sees_the_error(
    server: FakeServer, pool: Pool, sign: Sign, text: str
) -> None:
    loan, connection = lend(pool)
    connection.query("SET @a = 1")
    connection.store_result()
    server.says("change_user", sign.code, text)
    loan.checkin()

    lend(pool)[0].checkin()
    assert pool.stats().opened == 2


@pytest.mark.parametrize(
    ("code", "text", "has_none"),
    [
        (1040, "Too many connections", True),
        (1203, "User a already has more than 'max_user_connections' active", True),
        (1226, "User 'a' has exceeded the 'max_user_connections' resource", True),
        (1226, "User 'a' has exceeded the 'max_questions' resource", False),
        (1045, "Access denied", False),
    ],
)
def test_a_server_has_no_room_until_a_connection_is_closed_and_no_longer(
    code: int, text: str, has_none: bool
) -> None:
    assert has_no_room(MySQLdb.OperationalError(code, text)) is has_none


def test_a_proxy_that_has_no_room_behind_it_teaches_the_limit(
    server: FakeServer, pool: Pool
) -> None:
    """It accepts a connection, and says so at the first statement."""
    pool = Pool("fake", pool.connect, pool_size=3)
    loans = [lend(pool) for _ in range(3)]
    server.says("query", 1040, "Too many connections")
    error_of(lambda: run(loans[0][1], "query"))
    for loan, _ in loans:
        loan.checkin()
    server.recovers()

    assert (pool.stats().granted, pool.stats().idle) == (2, 2)
    pool.dispose()


# Django on top of it.

#: What Django asks a server about itself.
SERVER_DATA = [["8.4.0-fake", "STRICT_TRANS_TABLES", "InnoDB", "0", "0", "1"]]


@pytest.fixture
def site(
    server: FakeServer, add_database: AddDatabase, settings: Any, may_connect: None
) -> Callable[..., HttpResponse]:
    """Ask a page that makes a query in a transaction."""
    if MySQLdb.__name__ == "pymysql":
        pytest.skip("the harness has imported PyMySQL by both of its names")
    server.answers("SELECT VERSION()", SERVER_DATA)
    add_database(
        "fake",
        HOST=server.host,
        PORT=server.port,
        USER="any",
        PASSWORD="any",
        OPTIONS={"pool": {"pool_size": 1}},
    )
    # The default server may demand TLS, which the fake one does not speak.
    connections.settings["fake"]["OPTIONS"].pop("ssl_mode", None)
    settings.POOLED_DB = {"ALIASES": ["fake"]}

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic(using="fake"), connections["fake"].cursor() as cursor:
            cursor.execute("UPDATE items SET n = 1")
        return HttpResponse("good")

    def handle(request: HttpRequest) -> HttpResponseBase:
        """Call the view as Django's handler does."""
        request.resolver_match = object()  # type: ignore[assignment]
        try:
            return view(request)
        except Exception as error:
            answer = middleware.process_exception(request, error)
            if answer is None:
                raise
            return answer

    middleware = PooledConnectionMiddleware(handle)

    def ask(method: str) -> HttpResponse:
        factory = RequestFactory(headers={"accept": "application/json"})
        response: HttpResponse = middleware(getattr(factory, method)("/"))
        return response

    return ask


def reason_of(response: HttpResponse) -> str:
    assert response.status_code == 503
    return str(json.loads(response.content)["reason"])


@pytest.mark.parametrize(("sign", "text"), ALL)
def test_a_statement_that_meets_an_outage_is_a_503(
    server: FakeServer, site: Callable[..., HttpResponse], sign: Sign, text: str
) -> None:
    assert site("get").status_code == 200
    server.says("commit", sign.code, text)
    expected = as_it_arrives(sign)

    if expected.lost:
        # Left to Django, which logs the traceback, and answered then.
        with pytest.raises(OperationalError) as raised:
            site("get")
        assert diagnose(raised.value) is not None
        return
    response = site("get")
    assert reason_of(response) == "unavailable"
    assert "Retry-After" in response


def test_a_request_that_may_have_done_something_is_not_told_to_try_again(
    server: FakeServer, site: Callable[..., HttpResponse]
) -> None:
    assert site("post").status_code == 200
    server.says("query", 1047, TEXTS[1047][0])

    response = site("post")

    assert reason_of(response) == "unavailable"
    assert "Retry-After" not in response


def test_a_request_that_gets_no_connection_is_told_to_try_again(
    server: FakeServer, site: Callable[..., HttpResponse]
) -> None:
    server.says("login", 3032, "The server is currently in offline mode")

    response = site("post")

    assert reason_of(response) == "unavailable"
    assert "Retry-After" in response


# The table in the docs.


def documented() -> dict[int, tuple[str, str, bool]]:
    text = (DOCS / "reference" / "errors.md").read_text()
    rows = re.findall(r"^\| (\d{4}) \|(.+)\|$", text, re.MULTILINE)
    cells = {int(code): [cell.strip() for cell in row.split("|")] for code, row in rows}
    return {
        code: (connecting.strip("`"), in_statement.strip("`"), bool(text))
        for code, (_, connecting, in_statement, text) in cells.items()
    }


def test_the_docs_have_the_same_table() -> None:
    assert documented() == {
        sign.code: (
            "unavailable" if sign.connecting else "",
            sign.reason.value,
            sign.text is not None,
        )
        for sign in SIGNS
    }


def test_the_log_can_say_why_of_each() -> None:
    assert all(sign.in_statement for sign in SIGNS)
    assert len({sign.code for sign in SIGNS}) == len(SIGNS)
