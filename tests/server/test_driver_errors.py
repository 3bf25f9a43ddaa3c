"""What a real server's refusals and losses are taken for, with TLS and without."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import MySQLdb
import pytest
from MySQLdb.connections import Connection as DriverConnection

from pooled_db import ServerUnavailable
from pooled_db.driver.connection import Connection
from pooled_db.driver.errors import error_code
from pooled_db.exceptions import Reason
from pooled_db.pool.pool import Pool
from pooled_db.request.diagnosis import diagnose
from tests.database_server import SERVER
from tests.harness.kinds import private_server
from tests.harness.private import PrivateServer
from tests.harness.processes import poll
from tests.harness.proxy import Proxy
from tests.loans import lend

TOO_MANY_CONNECTIONS = 1040
READ_ONLY = 1290
#: The server sends more than this, its certificate included, until a connection is open
#: over TLS: about 3100.
BYTES_OF_CONNECT = 3000
#: Without TLS a fresh MySQL sends about 560, its key included.
BYTES_OF_FULL_LOGIN = 550
#: The shortest time after which a server gives up a login, in seconds.
SHORTEST_LOGIN = 2

reset = pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])


@pytest.fixture(scope="module")
def own_server() -> Iterator[PrivateServer]:
    # MySQL also has to take who comes without TLS.
    options = [] if SERVER.is_mariadb else ["--require-secure-transport=OFF"]
    with private_server(max_connections=10, options=options) as server:
        server.database("shop")
        yield server


@pytest.fixture
def pool(own_server: PrivateServer) -> Iterator[Pool]:
    def connect() -> Connection:
        return Connection(**address(own_server), autocommit=True)

    pool = Pool("shop", connect, pool_size=1)
    yield pool
    pool.dispose()
    assert poll(lambda: own_server.process_list() == [])


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


@pytest.fixture
def proxy(own_server: PrivateServer) -> Iterator[Proxy]:
    with Proxy(own_server.port) as proxy:
        yield proxy


def behind(proxy: Proxy, server: PrivateServer, **options: object) -> Pool:
    """A pool of one connection to *server*, which leads through *proxy*."""
    given = address(
        server, host=proxy.host, port=proxy.port, autocommit=True, **options
    )
    return Pool("shop", lambda: Connection(**given), pool_size=1)


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
    loan, connection = lend(pool)
    with contextlib.closing(own_server.admin()) as admin:
        admin.kill(connection.thread_id())
    assert poll(lambda: own_server.process_list() == [])

    error = refusal(lambda: ask(connection, "SELECT 1"))
    loan.checkin()

    assert diagnose(error) == (Reason.CONNECTION_LOST, error)
    loan, connection = lend(pool)
    assert ask(connection, "SELECT 1") == 1
    loan.checkin()


def test_a_connection_to_a_server_that_is_read_only_now_is_not_lent_again(
    own_server: PrivateServer, pool: Pool
) -> None:
    loan, connection = lend(pool)
    ask(connection, "CREATE TABLE sold (n INT)")
    with contextlib.closing(own_server.admin()) as admin:
        ask(admin, "SET GLOBAL read_only = 1")
        error = refusal(lambda: ask(connection, "INSERT INTO sold VALUES (1)"))
        ask(admin, "SET GLOBAL read_only = 0")
        ask(admin, "DROP TABLE shop.sold")
    loan.checkin()

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
    loan, connection = lend(pool)
    assert ask(connection, "SHOW SESSION STATUS LIKE 'Ssl_version'") == "TLSv1.3"
    loan.checkin()
    with contextlib.closing(own_server.admin()) as admin:
        plugin = "SELECT plugin FROM mysql.user WHERE user = 'pooled'"
        assert ask(admin, plugin) == "caching_sha2_password"


@over_tls
def test_an_encrypted_connection_stays_the_same_when_its_session_is_made_new(
    pool: Pool,
) -> None:
    for _ in range(20):
        loan, connection = lend(pool)
        ask(connection, "SET @a = 1")
        loan.checkin()

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
@reset
def test_a_line_that_is_cut_while_connecting_is_an_outage_wherever_it_is_cut(
    own_server: PrivateServer, proxy: Proxy, reset: bool
) -> None:
    for sent in range(0, BYTES_OF_CONNECT, 50):
        proxy.cut_after(sent, reset=reset)
        error = refusal(behind(proxy, own_server).checkout)
        proxy.forward()
        assert isinstance(error, ServerUnavailable), (sent, error)


lacks_sha2 = pytest.mark.skipif(
    SERVER.is_mariadb, reason="MariaDB lacks caching_sha2_password"
)
#: MariaDB's has the numbers 3 and 10 at the beginning.
is_oracles_library = MySQLdb.get_client_info().startswith(("8.", "9."))
oracles_library = pytest.mark.skipif(
    not is_oracles_library, reason="the driver was built with MariaDB's library"
)


@oracles_library
@lacks_sha2
def test_to_need_tls_for_a_password_is_an_error_that_lasts(
    own_server: PrivateServer,
) -> None:
    """Oracle's library asks for no key to encrypt it with, unless it is told to."""
    with contextlib.closing(own_server.admin()) as admin:
        ask(admin, "FLUSH PRIVILEGES")
    options = address(own_server, ssl_mode="DISABLED")

    error = refusal(Pool("shop", lambda: Connection(**options), pool_size=1).checkout)

    assert error_code(error) == 2061
    assert not isinstance(error, ServerUnavailable)
    assert diagnose(error) is None


@pytest.mark.skipif(is_oracles_library, reason="it needs TLS for that")
@lacks_sha2
@reset
def test_a_line_that_is_cut_before_the_password_is_known_is_an_outage_without_tls_too(
    own_server: PrivateServer, proxy: Proxy, reset: bool
) -> None:
    with contextlib.closing(own_server.admin()) as admin:
        for sent in range(0, BYTES_OF_FULL_LOGIN, 15):
            ask(admin, "FLUSH PRIVILEGES")  # it forgets all passwords
            proxy.cut_after(sent, reset=reset)
            error = refusal(
                behind(proxy, own_server, ssl_mode="DISABLED").checkout,
            )
            proxy.forward()
            assert isinstance(error, ServerUnavailable), (sent, error)


@pytest.mark.parametrize(
    "options", [{}, {"ssl_mode": "DISABLED"}], ids=["as usual", "without TLS"]
)
def test_a_login_that_takes_the_server_too_long_is_an_outage(
    own_server: PrivateServer, proxy: Proxy, options: dict[str, object]
) -> None:
    with contextlib.closing(own_server.admin()) as admin:
        before = ask(admin, "SELECT @@GLOBAL.connect_timeout")
        ask(admin, f"SET GLOBAL connect_timeout = {SHORTEST_LOGIN}")
        proxy.delay(to_server=SHORTEST_LOGIN + 1)
        error = refusal(behind(proxy, own_server, **options).checkout)
        ask(admin, f"SET GLOBAL connect_timeout = {before}")

    assert isinstance(error, ServerUnavailable)


@reset
@pytest.mark.parametrize(
    ("use", "places"),
    [
        (lambda connection: ask(connection, "SELECT REPEAT('x', 3000)"), (0, 3000, 99)),
        (Connection.commit, (0, 11)),
        (Connection.ping, (0, 7)),
    ],
    ids=["rows", "commit", "ping"],
)
def test_a_line_that_is_cut_within_an_answer_is_lost_wherever_it_is_cut(
    own_server: PrivateServer,
    proxy: Proxy,
    use: Callable[[Connection], object],
    places: tuple[int, ...],
    reset: bool,
) -> None:
    pool = behind(proxy, own_server)
    for number, sent in enumerate(range(*places), start=1):
        loan, connection = lend(pool)
        proxy.cut_after(sent, reset=reset)
        error = refusal(functools.partial(use, connection))
        proxy.forward()
        loan.checkin()
        assert diagnose(error) == (Reason.CONNECTION_LOST, error), (sent, error)
        assert pool.stats().opened == number
    assert pool.checkedout() == 0
    pool.dispose()


@reset
def test_a_line_that_is_cut_while_a_session_is_made_new_is_not_lent_again(
    own_server: PrivateServer, proxy: Proxy, reset: bool
) -> None:
    pool = behind(proxy, own_server)
    for number, sent in enumerate(range(0, 11, 2), start=1):
        loan, connection = lend(pool)
        assert pool.stats().opened == number
        ask(connection, "SET @a = 1")
        proxy.cut_after(sent, reset=reset)
        loan.checkin()
        proxy.forward()
    assert pool.checkedout() == 0
    pool.dispose()
    # MariaDB keeps for a second whoever has failed to log in again.
    assert poll(lambda: own_server.process_list() == [])
