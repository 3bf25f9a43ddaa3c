"""Nothing of one user's session reaches the next."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.connection import Connection
from pooled_db.pool.pool import Pool
from tests.conftest import connector
from tests.database_server import SERVER
from tests.harness.server import Server
from tests.loans import ask, lend, pool_of_one

MakePool = Callable[..., Pool]


@pytest.fixture
def pool(make_pool: MakePool) -> Pool:
    pool = pool_of_one(make_pool)
    loan, connection = lend(pool)
    ask(connection, "DROP PROCEDURE IF EXISTS p")
    ask(connection, "CREATE PROCEDURE p() SET @called = 1")
    loan.checkin()
    return pool


def run(*statements: str) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        for statement in statements:
            ask(connection, statement)

    return change


#: What mysqlclient's set_server_option() takes.
MULTI_STATEMENTS_OFF = 1


def fail(connection: Connection, sql: str) -> None:
    with pytest.raises(MySQLdb.Error):
        ask(connection, sql)


ISOLATION, READ_ONLY = (
    ("@@tx_isolation", "@@tx_read_only")
    if SERVER.is_mariadb
    else ("@@transaction_isolation", "@@transaction_read_only")
)

#: What changes the session, and a question whose answer must be as on a new one.
KINDS: dict[str, tuple[Callable[[Connection], Any], str]] = {
    "session variable": (run("SET sort_buffer_size = 2097152"), "@@sort_buffer_size"),
    "SET SESSION": (run("SET SESSION sql_mode = ''"), "@@sql_mode"),
    "SET @@": (run("SET @@session.wait_timeout = 7"), "@@wait_timeout"),
    "user variable": (run("SET @a = 1"), "@a"),
    "variable assigned in SELECT": (run("SELECT @a := 2"), "@a"),
    "SELECT INTO": (run("SELECT 3 INTO @a"), "@a"),
    "SET NAMES": (run("SET NAMES latin1"), "@@character_set_client"),
    "character set by the driver": (
        lambda connection: connection.set_character_set("latin1"),
        "@@character_set_client",
    ),
    "SET CHARACTER SET": (
        run("SET CHARACTER SET latin1"),
        "@@character_set_results",
    ),
    "time zone": (run("SET time_zone = '+05:00'"), "@@time_zone"),
    "foreign key checks": (run("SET foreign_key_checks = 0"), "@@foreign_key_checks"),
    "isolation level": (
        run("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
        ISOLATION,
    ),
    "read-only session": (
        run("SET SESSION TRANSACTION READ ONLY"),
        READ_ONLY,
    ),
    "autocommit by SET": (run("SET autocommit = 0"), "@@autocommit"),
    "autocommit by the driver": (
        lambda connection: connection.autocommit(False),
        "@@autocommit",
    ),
    "temporary table": (
        run("CREATE TEMPORARY TABLE t SELECT 7 AS a"),
        "(SELECT COUNT(*) FROM t)",
    ),
    "GET_LOCK": (run("SELECT GET_LOCK('mine', 0)"), "IS_FREE_LOCK('mine')"),
    "GET_LOCK by a quoted name": (
        run("SELECT `GET_LOCK` /* a */\n('mine', 0)"),
        "IS_FREE_LOCK('mine')",
    ),
    "DO GET_LOCK": (run("DO GET_LOCK('mine', 0)"), "IS_FREE_LOCK('mine')"),
    "LOCK TABLES": (run("LOCK TABLES t WRITE"), "(SELECT COUNT(*) FROM t)"),
    "USE": (run("USE information_schema"), "DATABASE()"),
    "select_db": (
        lambda connection: connection.select_db("information_schema"),
        "DATABASE()",
    ),
    "SET ROLE": (run("SET ROLE NONE"), "CURRENT_ROLE()"),
    "BEGIN": (run("BEGIN", "INSERT INTO t VALUES (1)"), "(SELECT COUNT(*) FROM t)"),
    "START TRANSACTION": (
        run("START TRANSACTION", "INSERT INTO t VALUES (1)"),
        "(SELECT COUNT(*) FROM t)",
    ),
    "XA": (
        run("XA START 'mine'", "INSERT INTO t VALUES (1)", "XA END 'mine'"),
        "(SELECT COUNT(*) FROM t)",
    ),
    "CALL": (run("CALL p()"), "@called"),
    "PREPARE and EXECUTE": (run("PREPARE s FROM 'SET @a = 1'", "EXECUTE s"), "@a"),
    "several statements": (run("SELECT 1; SET @a = 1"), "@a"),
    "executable comment": (run("/*! SET @a = 1 */"), "@a"),
    "comment in front": (run("/* hello */ SET @a = 1"), "@a"),
    "parenthesis in front": (run("(SELECT @a := 1)"), "@a"),
    "FLUSH TABLES WITH READ LOCK": (
        run("FLUSH TABLES t WITH READ LOCK"),
        "(SELECT COUNT(*) FROM t)",
    ),
    "raw query": (
        lambda connection: (connection.query("SET @a = 9"), connection.store_result()),
        "@a",
    ),
    "failed statement": (
        lambda connection: fail(connection, "SET @a = 1, @b = nonsense()"),
        "@a",
    ),
}

if SERVER.is_mariadb:
    KINDS |= {
        "EXECUTE IMMEDIATE": (run("EXECUTE IMMEDIATE 'SET @a = 1'"), "@a"),
        "compound statement": (run("BEGIN NOT ATOMIC SET @a = 1; END"), "@a"),
        "MariaDB's executable comment": (run("SELECT 1 /*M! , @a := 1 */"), "@a"),
    }
else:
    KINDS |= {
        "backup lock": (
            run("LOCK INSTANCE FOR BACKUP"),
            """(SELECT COUNT(*) FROM performance_schema.metadata_locks
            WHERE object_type = 'BACKUP LOCK'
            AND owner_thread_id = PS_CURRENT_THREAD_ID())""",
        ),
        "EXPLAIN INTO": (
            run("EXPLAIN FORMAT = JSON INTO @a SELECT 1"),
            "@a",
        ),
        "primary keys required": (
            run("SET sql_require_primary_key = 1"),
            "@@sql_require_primary_key",
        ),
    }


def test_there_are_enough_kinds() -> None:
    assert len(KINDS) >= 25


@pytest.mark.parametrize("kind", KINDS)
def test_session_state_is_gone_for_the_next_user(
    pool: Pool, make_pool: MakePool, kind: str
) -> None:
    change, question = KINDS[kind]
    loan, fresh = lend(make_pool(pool_size=1))
    expected = ask(fresh, f"SELECT {question}")
    loan.discard()

    loan, connection = lend(pool)
    change(connection)
    loan.checkin()

    again, connection = lend(pool)
    assert ask(connection, f"SELECT {question}") == expected
    assert connection.character_set_name() == fresh_character_set(make_pool)
    again.checkin()


def test_the_next_users_transaction_is_as_the_session_has_it(pool: Pool) -> None:
    loan, connection = lend(pool)
    ask(connection, "SET TRANSACTION READ ONLY")
    loan.checkin()

    loan, connection = lend(pool)
    ask(connection, "INSERT INTO t VALUES (1)")
    loan.checkin()


@pytest.mark.skipif(not SERVER.is_mariadb, reason="deprecated in MySQL")
def test_the_texts_of_statements_are_shown_to_nobody_else(pool: Pool) -> None:
    lease, connection = lend(pool)
    ask(connection, "SET profiling = 1")
    ask(connection, "SELECT 'a secret'")
    assert ask(connection, "SHOW PROFILES") is not None
    lease.checkin()

    lease, connection = lend(pool)
    assert ask(connection, "SHOW PROFILES") is None
    lease.checkin()


def test_a_prepared_transaction_leaves_no_session_that_cannot_read(
    pool: Pool, server: Server
) -> None:
    lease, connection = lend(pool)
    ask(connection, "CREATE TABLE IF NOT EXISTS prepared (a INT)")
    for step in ("XA START 'a'", "INSERT INTO prepared VALUES (1)", "XA END 'a'"):
        ask(connection, step)
    ask(connection, "XA PREPARE 'a'")
    lease.checkin()
    try:
        lease, connection = lend(pool)
        assert ask(connection, "SELECT COUNT(*) FROM prepared") == 0
        lease.checkin()
    finally:
        server.ask("XA ROLLBACK 'a'")


@pytest.mark.parametrize(
    ("character_set", "first_byte"), [("gbk", b"\xbf"), ("sjis", b"\x95")]
)
def test_no_character_hides_what_follows_its_string(
    make_pool: MakePool, server: Server, character_set: str, first_byte: bytes
) -> None:
    connect = connector(server, "pooled_bare", charset=character_set)
    pool = make_pool(connect, pool_size=1)
    # Its second byte is the one of a backslash, which does not escape the quote.
    character = first_byte + b"\\"
    loan, connection = lend(pool)
    connection.query(b"SELECT '%b', @a := 5, '%b'" % (character, character))
    connection.store_result()
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT @a") is None
    loan.checkin()


@pytest.mark.parametrize(
    "statement",
    [b"SELECT GET_LOCK\xa0('mine', 0)", b"SELECT 1,\xa0GET_LOCK('mine', 0)"],
)
def test_no_blank_hides_a_function_that_takes_a_lock(
    make_pool: MakePool, server: Server, statement: bytes
) -> None:
    # 0xA0 is one in latin1.
    connect = connector(server, "pooled_bare", charset="latin1")
    pool = make_pool(connect, pool_size=1)
    loan, connection = lend(pool)
    connection.query(statement)
    assert connection.store_result().fetch_row()[0][-1] == 1
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT IS_FREE_LOCK('mine')") == 1
    loan.checkin()


def test_several_statements_may_be_sent_by_the_next_user(pool: Pool) -> None:
    loan, connection = lend(pool)
    connection.set_server_option(MULTI_STATEMENTS_OFF)
    fail(connection, "SELECT 1; SELECT 2")
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT 1; SELECT 2") == 1
    loan.checkin()


@pytest.mark.filterwarnings("ignore:The reconnect parameter:DeprecationWarning")
def test_no_driver_connects_again_for_the_next_user(pool: Pool, server: Server) -> None:
    loan, connection = lend(pool)
    connection.ping(True)
    loan.checkin()

    loan, connection = lend(pool)
    server.ask("KILL %s", connection.thread_id())
    fail(connection, "SELECT 1")
    loan.checkin()


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_statement_is_looked_at_without_a_copy(
    pool: Pool, kind: type[bytes] | type[bytearray]
) -> None:
    statement = kind(b"DO '" + b"@\\'" * (1 << 21) + b"'")
    loan, connection = lend(pool)
    tracemalloc.start()
    try:
        connection.query(statement)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    connection.store_result()
    loan.checkin()
    # The driver itself copies what could change meanwhile.
    assert peak < len(statement) * (kind is bytearray) + (1 << 18)


def fresh_character_set(make_pool: MakePool) -> str:
    loan, fresh = lend(make_pool(pool_size=1))
    name = fresh.character_set_name()
    loan.discard()
    return name


@pytest.mark.parametrize(
    ("opened", "used"),
    [
        ("PREPARE s FROM 'SELECT 1'", "EXECUTE s"),
        ("HANDLER t OPEN", "HANDLER t READ FIRST"),
    ],
)
def test_what_was_opened_by_name_is_gone_for_the_next_user(
    pool: Pool, opened: str, used: str
) -> None:
    loan, connection = lend(pool)
    ask(connection, opened)
    ask(connection, used)
    loan.checkin()

    loan, connection = lend(pool)
    fail(connection, used)
    loan.checkin()


RESOURCE_GROUP = """SELECT resource_group FROM performance_schema.threads
    WHERE thread_id = PS_CURRENT_THREAD_ID()"""


@pytest.fixture
def resource_group(server: Server) -> Iterator[str]:
    with contextlib.closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE RESOURCE GROUP pooled_batch TYPE = USER")
        yield "pooled_batch"
        cursor.execute("DROP RESOURCE GROUP pooled_batch FORCE")


@pytest.mark.skipif(SERVER.is_mariadb, reason="MariaDB has no resource groups")
def test_a_resource_group_is_left_to_nobody(pool: Pool, resource_group: str) -> None:
    loan, connection = lend(pool)
    ask(connection, f"SET RESOURCE GROUP {resource_group}")
    assert ask(connection, RESOURCE_GROUP) == resource_group
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, RESOURCE_GROUP) == "USR_default"
    loan.checkin()
