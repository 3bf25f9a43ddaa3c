"""What a real server's refusals and losses are taken for, with TLS and without."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import MySQLdb
import pytest
from MySQLdb.connections import Connection as DriverConnection

from pooled_db import ServerUnavailable
from pooled_db.connection import Connection
from pooled_db.exceptions import Reason, diagnose, error_code
from pooled_db.lease import Lease
from pooled_db.pool import Pool
from tests.harness.kinds import private_server
from tests.harness.private import PrivateServer
from tests.harness.processes import poll
from tests.harness.proxy import Proxy
from tests.server import SERVER

TOO_MANY_CONNECTIONS = 1040
READ_ONLY = 1290
#: The server sends more than this, its certificate included, until a connection is open
#: over TLS: about 3100.
BYTES_OF_CONNECT = 3000


@pytest.fixture(scope="module")
def own_server() -> Iterator[PrivateServer]:
    with private_server(max_connections=10) as server:
        server.database("shop")
        yield server


@pytest.fixture
def pool(own_server: PrivateServer) -> Iterator[Pool]:
    def connect() -> Connection:
        return Connection(**address(own_server), autocommit=True)

    pool = Pool("shop", connect, pool_size=1)
    yield pool
    pool.dispose()
    assert poll(5, lambda: own_server.process_list() == [])


def address(server: PrivateServer, **options: object) -> dict[str, object]:
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "database": "shop",
        **server.client_options,
        **options,
    }


def lend(pool: Pool) -> tuple[Lease, Connection]:
    lease = pool.checkout()
    lease.connection.lend(threading.get_ident())
    return lease, lease.connection


def ask(connection: DriverConnection, sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
    return row[-1] if row else None


def refusal(function: Callable[[], object]) -> MySQLdb.OperationalError:
    with pytest.raises(MySQLdb.OperationalError) as raised:
        function()
    return raised.value


def test_a_server_without_room_is_unavailable_and_says_why(
    own_server: PrivateServer, pool: Pool
) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(own_server.max_connections):
            held.enter_context(contextlib.closing(own_server.connect()))
        error = refusal(pool.checkout)

    assert isinstance(error, ServerUnavailable)
    assert error_code(error) == TOO_MANY_CONNECTIONS


def test_a_connection_that_is_killed_while_lent_is_lost(
    own_server: PrivateServer, pool: Pool
) -> None:
    lease, connection = lend(pool)
    with contextlib.closing(own_server.admin()) as admin:
        admin.kill(connection.thread_id())
    assert poll(5, lambda: own_server.process_list() == [])

    error = refusal(lambda: ask(connection, "SELECT 1"))
    lease.checkin()

    assert diagnose(error) == (Reason.CONNECTION_LOST, error)
    lease, connection = lend(pool)
    assert ask(connection, "SELECT 1") == 1
    lease.checkin()


def test_a_connection_to_a_server_that_is_read_only_now_is_not_lent_again(
    own_server: PrivateServer, pool: Pool
) -> None:
    lease, connection = lend(pool)
    ask(connection, "CREATE TABLE sold (n INT)")
    with contextlib.closing(own_server.admin()) as admin:
        ask(admin, "SET GLOBAL read_only = 1")
        error = refusal(lambda: ask(connection, "INSERT INTO sold VALUES (1)"))
        ask(admin, "SET GLOBAL read_only = 0")
        ask(admin, "DROP TABLE shop.sold")
    lease.checkin()

    assert error_code(error) == READ_ONLY
    lend(pool)[0].checkin()
    assert pool.stats().opened == 2


over_tls = pytest.mark.skipif(
    SERVER.is_mariadb, reason="the private MariaDB has no certificate"
)


@over_tls
def test_what_is_tested_is_tls_with_caching_sha2_password(
    own_server: PrivateServer, pool: Pool
) -> None:
    lease, connection = lend(pool)
    assert ask(connection, "SHOW SESSION STATUS LIKE 'Ssl_version'") == "TLSv1.3"
    lease.checkin()
    with contextlib.closing(own_server.admin()) as admin:
        plugin = "SELECT plugin FROM mysql.user WHERE user = 'pooled'"
        assert ask(admin, plugin) == "caching_sha2_password"


@over_tls
def test_an_encrypted_connection_stays_the_same_when_its_session_is_made_new(
    pool: Pool,
) -> None:
    for _ in range(20):
        lease, connection = lend(pool)
        ask(connection, "SET @a = 1")
        lease.checkin()

    assert pool.stats().opened == 1


@over_tls
def test_a_certificate_that_is_not_trusted_is_no_outage(
    own_server: PrivateServer,
) -> None:
    options = address(own_server, ssl_mode="VERIFY_IDENTITY")
    pool = Pool("shop", lambda: Connection(**options), pool_size=1)

    error = refusal(pool.checkout)

    assert not isinstance(error, ServerUnavailable)
    assert diagnose(error) is None


@over_tls
def test_a_line_that_is_cut_while_connecting_is_an_outage_wherever_it_is_cut(
    own_server: PrivateServer,
) -> None:
    with Proxy(own_server.port) as proxy:
        options = address(own_server, host=proxy.host, port=proxy.port)
        for sent in range(0, BYTES_OF_CONNECT, 50):
            proxy.cut_after(sent)
            pool = Pool("shop", lambda: Connection(**options), pool_size=1)
            error = refusal(pool.checkout)
            proxy.forward()
            assert isinstance(error, ServerUnavailable), (sent, error)
