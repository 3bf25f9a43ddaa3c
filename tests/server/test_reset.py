"""A session that was made as new is as one that was just opened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import DriverConnection
from pooled_db.driver.connection import Connection
from pooled_db.driver.reset import Account
from pooled_db.pool.pool import Pool
from tests.database_server import SERVER
from tests.harness.server import Server
from tests.loans import ask, lend

MakePool = Callable[..., Pool]

ACCOUNT = "'pooled_limited'@'%'"
#: What a server says that does not let an account in, once more: no privilege for the
#: database, a wrong password, a blocked host, one that is not let in, a plugin that it
#: or the driver has not, passwords in an old format or without one, a password that has
#: to be changed or has expired, a login that MySQL or MariaDB does not allow, a locked
#: account.
REFUSALS = [1044, 1045, 1129, 1130, 1251, 1275, 1524, 1698, 1820, 1862, 1873, 3118]
REFUSALS += [3955, 4150, 4151]
#: It says nothing of the account: too many connections.
HARMLESS = 1040
#: They differ from session to session, or from moment to moment.
OWN = {"pseudo_thread_id", "statement_id", "timestamp", "rand_seed1", "rand_seed2"}


@pytest.fixture
def admin(server: Server) -> Iterator[Callable[[str], object]]:
    with contextlib.closing(server.admin()) as connection:

        def execute(sql: str) -> object:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

        yield execute


Admin = Callable[[str], object]


@pytest.fixture
def limited(server: Server, admin: Admin) -> Iterator[dict[str, Any]]:
    """How to connect as an account with few privileges and a default role."""
    server.database("pooled_bare")
    admin(f"DROP USER IF EXISTS {ACCOUNT}")
    admin("DROP ROLE IF EXISTS pooled_reader, pooled_other")
    admin(f"CREATE USER {ACCOUNT} IDENTIFIED BY 'first'")
    admin("CREATE ROLE pooled_reader, pooled_other")
    admin("GRANT SELECT ON pooled_bare.* TO pooled_reader")
    admin(f"GRANT CREATE TEMPORARY TABLES ON pooled_bare.* TO {ACCOUNT}")
    for role in ("pooled_reader", "pooled_other"):
        admin(f"GRANT {role} TO {ACCOUNT}")
    whose = "FOR" if SERVER.is_mariadb else "TO"
    admin(f"SET DEFAULT ROLE pooled_reader {whose} {ACCOUNT}")
    yield {
        "host": server.host,
        "port": server.port,
        "user": "pooled_limited",
        "password": "first",
        "database": "pooled_bare",
        "autocommit": True,
        **server.client_options,
    }
    admin(f"DROP USER {ACCOUNT}")
    admin("DROP ROLE pooled_reader, pooled_other")


@pytest.fixture
def init_connect(admin: Admin) -> Iterator[None]:
    """The server sets up each session itself."""
    admin(
        "SET GLOBAL init_connect = 'SET time_zone = ''+03:00'', sql_safe_updates = 1'"
    )
    yield
    admin("SET GLOBAL init_connect = ''")


def session(connection: Connection) -> dict[str, object]:
    """All that can be asked about a session, less what is its own."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION VARIABLES")
        variables = dict(cursor.fetchall())
        cursor.execute("SELECT CURRENT_ROLE(), DATABASE(), CURRENT_USER(), @a")
        names = ("role", "database", "user", "variable")
        state = dict(zip(names, cursor.fetchone(), strict=True))
    driver = {
        "name": connection.character_set_name(),
        "codec": connection.encoding,
        "autocommit": connection.get_autocommit(),
    }
    shared = {name: variables[name] for name in variables if name not in OWN}
    return shared | state | driver


def change(connection: Connection) -> None:
    """Change what a session has, by statements and by the driver."""
    for statement in (
        "SET ROLE pooled_other",
        "SET SESSION time_zone = '+09:00', sql_mode = '', wait_timeout = 9, @a = 1",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET NAMES latin1",
        "USE information_schema",
    ):
        ask(connection, statement)
    connection.set_character_set("latin1")
    connection.autocommit(False)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "charset": {"charset": "utf8mb4"},
    "other charset": {"charset": "latin2", "use_unicode": True},
    "collation": {"charset": "utf8mb4", "collation": "utf8mb4_unicode_ci"},
    "sql_mode": {"sql_mode": "TRADITIONAL,ANSI_QUOTES"},
    # The driver's own settings come later, and win.
    "init_command": {
        "init_command": "SET NAMES latin1, wait_timeout = 77, sql_mode = 'ANSI'",
        "sql_mode": "TRADITIONAL",
        "charset": "utf8mb4",
    },
    "several": {"init_command": "SET wait_timeout = 77; SET @a = 2; SELECT 1"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_session_made_as_new_equals_a_fresh_one(
    make_pool: MakePool, limited: dict[str, Any], options: dict[str, Any]
) -> None:
    def connect() -> Connection:
        return Connection(**limited, **options)

    with contextlib.closing(connect()) as fresh:
        expected = session(fresh)
    assert "pooled_reader" in str(expected["role"])
    pool = make_pool(connect, pool_size=1)
    loan, connection = lend(pool)
    change(connection)
    assert session(connection) != expected
    loan.checkin()

    loan, connection = lend(pool)
    assert session(connection) == expected
    loan.checkin()
    assert pool.stats().opened == 1


def test_of_two_names_for_one_option_the_drivers_choice_counts(
    make_pool: MakePool, limited: dict[str, Any]
) -> None:
    old_names = {"db": "information_schema", "passwd": limited["password"]}
    options = {**limited, "password": "wrong", **old_names}
    pool = make_pool(lambda: Connection(**options), pool_size=1)
    loan, connection = lend(pool)
    expected = session(connection)
    assert expected["database"] == "information_schema"
    ask(connection, "SET @a = 1")
    loan.checkin()

    loan, connection = lend(pool)
    assert session(connection) == expected
    loan.checkin()
    assert pool.stats().opened == 1


@pytest.mark.parametrize("statement", ["SET ROLE pooled_other", "PREPARE"])
def test_a_role_goes_from_an_account_without_a_default_one(
    make_pool: MakePool, limited: dict[str, Any], admin: Admin, statement: str
) -> None:
    whose = "FOR" if SERVER.is_mariadb else "TO"
    admin(f"SET DEFAULT ROLE NONE {whose} {ACCOUNT}")
    pool = make_pool(lambda: Connection(**limited), pool_size=1)
    loan, connection = lend(pool)
    expected = session(connection)
    if statement == "PREPARE":
        ask(connection, "PREPARE hidden FROM 'SET ROLE pooled_other'")
        statement = "EXECUTE hidden"
    ask(connection, statement)
    assert "pooled_other" in str(ask(connection, "SELECT CURRENT_ROLE()"))
    loan.checkin()

    loan, connection = lend(pool)
    assert session(connection) == expected
    loan.checkin()
    assert pool.stats().opened == 1


def test_what_the_server_sets_at_login_is_there_after_a_reset(
    make_pool: MakePool, limited: dict[str, Any], init_connect: None
) -> None:
    pool = make_pool(lambda: Connection(**limited), pool_size=1)
    loan, connection = lend(pool)
    expected = session(connection)
    assert expected["time_zone"] == "+03:00"
    change(connection)
    loan.checkin()

    loan, connection = lend(pool)
    assert session(connection) == expected
    loan.checkin()


def test_a_server_that_sets_up_sessions_since_a_moment_ago_does_so_too(
    make_pool: MakePool, limited: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    pool = make_pool(lambda: Connection(**limited), pool_size=1)
    loan, connection = lend(pool)
    change(connection)
    request.getfixturevalue("init_connect")
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT @@time_zone") == "+03:00"
    loan.checkin()


def test_text_is_encoded_as_the_session_expects_it_again(
    make_pool: MakePool, limited: dict[str, Any]
) -> None:
    pool = make_pool(lambda: Connection(charset="utf8mb4", **limited), pool_size=1)
    loan, connection = lend(pool)
    connection.set_character_set("latin1")
    loan.checkin()

    loan, connection = lend(pool)
    with connection.cursor() as cursor:
        cursor.execute("SELECT HEX(%s)", ["é"])
        assert cursor.fetchone() == ("C3A9",)
    loan.checkin()


# Credentials that have changed.


class Counting(Connection):
    """Counts how often anybody logs in by it again."""

    logins = 0

    def change_user(self, *args: Any, **kwargs: Any) -> None:
        type(self).logins += 1
        super().change_user(*args, **kwargs)


@pytest.fixture
def counting() -> type[Counting]:
    return type("CountingHere", (Counting,), {})


def dirty(pool: Pool, count: int) -> None:
    """Let *count* users change their sessions at the same time, and return them."""
    leases = [lend(pool) for _ in range(count)]
    for _, connection in leases:
        ask(connection, "SET @a = 1")
    for loan, _ in leases:
        loan.checkin()


def test_a_refused_password_is_tried_once(
    make_pool: MakePool,
    limited: dict[str, Any],
    admin: Admin,
    counting: type[Counting],
) -> None:
    pool = make_pool(lambda: counting(**limited), pool_size=4)
    dirty(pool, 4)
    assert counting.logins == 4

    admin(f"ALTER USER {ACCOUNT} IDENTIFIED BY 'second'")
    dirty(pool, 4)
    assert counting.logins == 5
    with pytest.raises(MySQLdb.OperationalError):
        pool.checkout()

    admin(f"ALTER USER {ACCOUNT} IDENTIFIED BY 'first'")
    with contextlib.closing(counting(**limited)):
        pass  # the server takes it again
    pool = make_pool(lambda: counting(**limited), pool_size=4)
    dirty(pool, 4)
    assert counting.logins == 9


def test_a_locked_account_is_tried_once(
    make_pool: MakePool,
    limited: dict[str, Any],
    admin: Admin,
    counting: type[Counting],
) -> None:
    pool = make_pool(lambda: counting(**limited), pool_size=3)
    leases = [lend(pool) for _ in range(3)]
    admin(f"ALTER USER {ACCOUNT} ACCOUNT LOCK")
    for _, connection in leases:
        ask(connection, "SET @a = 1")
    for loan, _ in leases:
        loan.checkin()
    assert counting.logins == 1


@pytest.mark.parametrize("code", [*REFUSALS, HARMLESS])
def test_each_refusal_of_an_account_is_met_once(
    make_pool: MakePool,
    limited: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    pool = make_pool(lambda: Connection(**limited), pool_size=3)
    logins = []

    def refuse(*args: object) -> None:
        logins.append(args)
        raise MySQLdb.OperationalError(code, "so be it")

    with monkeypatch.context() as patch:
        patch.setattr(DriverConnection, "change_user", refuse)
        dirty(pool, 3)
    assert len(logins) == (3 if code == HARMLESS else 1)
    assert pool.stats().idle == 0


def test_no_login_is_tried_where_the_driver_has_lost_its_server(
    limited: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB Connector/C 3.3 damages the heap then, and the process aborts later."""
    logins: list[object] = []
    monkeypatch.setattr(DriverConnection, "change_user", lambda *_: logins.append(1))
    connection = Connection(**limited)
    for sql in ("KILL CONNECTION_ID()", "SELECT 1"):
        with contextlib.suppress(MySQLdb.Error):
            ask(connection, sql)
    assert not connection.is_alive()

    assert not connection.reset_session(True)
    with pytest.raises(MySQLdb.OperationalError, match="gone away"):
        connection.change_user("any", "any")
    assert (logins, connection.is_doubtful) == ([], True)
    connection.close()


@pytest.mark.parametrize("changed", [{"password": "second"}, {"user": "other"}])
def test_no_login_is_tried_with_what_has_been_replaced_in_the_settings(
    make_pool: MakePool,
    limited: dict[str, Any],
    counting: type[Counting],
    changed: dict[str, str],
) -> None:
    present = dict(limited)

    def connect() -> Connection:
        connection = counting(**limited)
        connection.current_options = lambda: present
        return connection

    pool = make_pool(connect, pool_size=2)
    dirty(pool, 2)
    assert counting.logins == 2

    present |= changed
    dirty(pool, 2)
    assert counting.logins == 2
    assert pool.stats().idle == 0


def test_a_backend_that_cannot_tell_its_credentials_breaks_no_request(
    make_pool: MakePool, limited: dict[str, Any], counting: type[Counting]
) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("no token")

    def connect() -> Connection:
        connection = counting(**limited)
        connection.current_options = fail
        return connection

    pool = make_pool(connect, pool_size=1)
    dirty(pool, 1)

    assert counting.logins == 0
    assert pool.stats().idle == 0


def test_an_account_tells_nothing_of_itself(limited: dict[str, Any]) -> None:
    shown = repr(Account.of(limited))

    for secret in ("host", "user", "password"):
        assert limited[secret] not in shown
