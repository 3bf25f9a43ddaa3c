"""Nothing of one user's session reaches the next."""

from __future__ import annotations

import contextlib
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest
from django.db import connection

from pooled_db import pools
from pooled_db.backends.mysql.base import DatabaseWrapper
from pooled_db.driver.connection import Connection
from pooled_db.pool.pool import Pool
from tests.conftest import connector
from tests.database_server import SERVER
from tests.harness.server import Server
from tests.loans import lend

MakePool = Callable[..., Pool]


def ask(connection: Connection, sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        while cursor.nextset():
            pass
    return row[0] if row else None


@pytest.fixture
def pool(make_pool: MakePool) -> Pool:
    pool = make_pool(pool_size=1, timeout=5)
    loan, connection = lend(pool)
    ask(connection, "DROP TABLE IF EXISTS t")
    ask(connection, "CREATE TABLE t (a INT)")
    ask(connection, "DROP PROCEDURE IF EXISTS p")
    ask(connection, "CREATE PROCEDURE p() SET @called = 1")
    loan.checkin()
    return pool


def run(*statements: str) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        for statement in statements:
            ask(connection, statement)

    return change


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


#: Questions about statements before, and what a new session answers.
DIAGNOSTICS = {
    "SHOW WARNINGS": None,
    "SELECT LAST_INSERT_ID()": 0,
    "SELECT FOUND_ROWS()": 1,
}


@pytest.mark.parametrize("question", DIAGNOSTICS)
def test_always_cleans_the_diagnostics_too(make_pool: MakePool, question: str) -> None:
    pool = make_pool(pool_size=1, reset="always")
    lease, connection = lend(pool)
    ask(connection, "DROP TABLE IF EXISTS numbers")
    ask(connection, "CREATE TABLE numbers (a INT AUTO_INCREMENT PRIMARY KEY)")
    ask(connection, "INSERT INTO numbers VALUES (7), (8)")
    ask(connection, "INSERT INTO numbers VALUES (NULL)")
    ask(connection, "SELECT SQL_CALC_FOUND_ROWS a FROM numbers LIMIT 1")
    ask(connection, "SELECT CAST('secret' AS SIGNED)")
    lease.checkin()

    lease, connection = lend(pool)
    assert ask(connection, question) == DIAGNOSTICS[question]
    lease.checkin()


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


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'user@example.org'",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t FOR UPDATE",
        "SELECT @@version",
        "SHOW TABLES",
        "SELECT 1 /*Model.objects.get()*/",
        "DO 1",
        "SELECT 1 AS job_lock",
        *(["SET STATEMENT max_statement_time = 1 FOR SELECT '@'"] * SERVER.is_mariadb),
    ],
)
def test_a_usual_statement_costs_nothing_on_return(
    pool: Pool, server: Server, statement: str
) -> None:
    loan, connection = lend(pool)
    ask(connection, statement)
    statements = server.status("Questions")
    opened = pool.stats().opened

    loan.checkin()
    loan, connection = lend(pool)
    loan.checkin()

    assert server.status("Questions") == statements
    assert pool.stats().opened == opened


def test_always_cleans_what_no_watcher_can_see(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, reset="always")
    loan, connection = lend(pool)
    ask(connection, "DROP FUNCTION IF EXISTS hidden")
    ask(
        connection,
        "CREATE FUNCTION hidden() RETURNS INT DETERMINISTIC "
        "BEGIN SET @hidden = 1; RETURN 1; END",
    )
    loan.checkin()

    loan, connection = lend(pool)
    ask(connection, "SELECT hidden()")
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT @hidden") is None
    loan.checkin()


def test_rollback_ends_transactions_and_leaves_the_rest(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, reset="rollback")
    loan, connection = lend(pool)
    ask(connection, "DROP TABLE IF EXISTS t")
    ask(connection, "CREATE TABLE t (a INT)")
    ask(connection, "SET @a = 1")
    ask(connection, "BEGIN")
    ask(connection, "INSERT INTO t VALUES (1)")
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT COUNT(*) FROM t") == 0
    assert ask(connection, "SELECT @a") == 1
    loan.checkin()
    assert pool.stats().opened == 1


def test_a_session_is_cleaned_on_the_same_connection(pool: Pool) -> None:
    opened = pool.stats().opened
    for _ in range(3):
        loan, connection = lend(pool)
        ask(connection, "SET @a = 1")
        loan.checkin()

    assert pool.stats().opened == opened


SLOW = "SELECT 1 FROM information_schema.columns WHERE SLEEP(5)"


def test_an_interrupted_statement_closes_the_connection(
    pool: Pool, server: Server
) -> None:
    loan, connection = lend(pool)
    opened = pool.stats().opened
    thread_id = connection.thread_id()
    killer = threading.Thread(target=kill_query, args=(server, thread_id))
    killer.start()
    with pytest.raises(MySQLdb.OperationalError, match="interrupted"):
        ask(connection, SLOW)
    killer.join()
    loan.checkin()

    loan, connection = lend(pool)
    assert ask(connection, "SELECT 1") == 1
    loan.checkin()
    assert pool.stats().opened == opened + 1


def kill_query(server: Server, thread_id: int) -> None:
    while not any(
        process["id"] == thread_id and process["info"]
        for process in server.process_list()
    ):
        pass
    with server.admin() as admin, admin.cursor() as cursor:
        cursor.execute(f"KILL QUERY {thread_id}")


# What Django sets at connect.


@pytest.fixture
def wrapper(transactional_db: None) -> Iterator[DatabaseWrapper]:
    settings = {
        **connection.settings_dict,
        "OPTIONS": {
            **connection.settings_dict["OPTIONS"],
            "pool": {"pool_size": 1},
            "isolation_level": "repeatable read",
            "init_command": "SET SESSION wait_timeout = 1234",
            "sql_mode": "TRADITIONAL",
            "charset": "utf8mb4",
            "collation": "utf8mb4_unicode_ci",
        },
    }
    wrapper = DatabaseWrapper(settings, alias="sessions")
    yield wrapper
    wrapper.close()
    pools.dispose("sessions")


QUESTION = (
    f"SELECT CONNECTION_ID(), {ISOLATION}, @@wait_timeout, @@sql_mode, "
    "@@collation_connection, @@character_set_client, @@autocommit"
)


def test_a_cleaned_session_is_as_django_wants_it(wrapper: DatabaseWrapper) -> None:
    def question() -> Any:
        with wrapper.cursor() as cursor:
            cursor.execute(QUESTION)
            return cursor.fetchone()

    before = question()
    with wrapper.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        cursor.execute("SET wait_timeout = 9, sql_mode = ''")
        cursor.execute("SET NAMES latin1")
    wrapper.close()

    assert question() == before


def connection_id(wrapper: DatabaseWrapper) -> object:
    with wrapper.cursor() as cursor:
        cursor.execute("SET @a = 1")
        cursor.execute("SELECT CONNECTION_ID()")
        return cursor.fetchone()[0]


def test_a_connection_of_an_old_password_is_not_logged_in_again(
    wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = connection_id(wrapper)
    wrapper.close()
    assert connection_id(wrapper) == used
    with monkeypatch.context() as patch:
        patch.setitem(wrapper.settings_dict, "PASSWORD", "rotated")
        wrapper.close()

    assert connection_id(wrapper) != used


def test_nor_is_one_of_a_token_that_the_backend_has_replaced(
    wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = DatabaseWrapper.get_connection_params
    token: dict[str, str] = {}
    monkeypatch.setattr(
        DatabaseWrapper, "get_connection_params", lambda self: parameters(self) | token
    )
    used = connection_id(wrapper)
    wrapper.close()
    assert connection_id(wrapper) == used
    token["password"] = "another"
    wrapper.close()
    token.clear()

    assert connection_id(wrapper) != used
