"""PyMySQL in mysqlclient's place."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.server import Server
from tests.sites import run_python

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pymysql") is None,
    reason="PyMySQL is not installed: make matrix",
)

#: Runs ... in one loan of the connection, and prints which connections were lent.
LOANS = """
import MySQLdb
from django.db import connection
assert MySQLdb.__name__ == "pymysql"
def loan(use):
    connection.ensure_connection()
    number = connection.connection.thread_id()
    use(connection)
    connection.close()
    return number
def query(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 UNION SELECT 2")
        assert cursor.fetchall() == ((1,), (2,))
"""


@pytest.fixture
def run(site_database: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TEST_DRIVER", "pymysql")
    database = dict(site_database)
    if "ssl_mode" in database.pop("OPTIONS", {}):
        # What mysqlclient calls ssl_mode=REQUIRED.
        database["OPTIONS"] = {"ssl": {"check_hostname": False}}
    return lambda program: run_python(LOANS + program, database)


@pytest.fixture
def raw(server: Server) -> Iterator[Any]:
    """What the pool's class is derived from then."""
    from pymysql.constants import CLIENT

    from pooled_db.driver.pymysql import Connection

    tls = "ssl_mode" in server.client_options
    connection = Connection(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        ssl={"check_hostname": False} if tls else None,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )
    yield connection
    if connection.open:
        connection.close()


def test_an_unchanged_session_is_lent_again(run: Any) -> None:
    assert run("print(loan(query) == loan(query) == loan(query))") == "True\n"


def test_a_changed_session_is_not_lent_again(run: Any) -> None:
    program = """
def change(connection):
    with connection.cursor() as cursor:
        cursor.execute("SET @a = 1")
print(loan(query) == loan(change) != loan(query))
"""
    assert run(program) == "True\n"


def test_an_open_transaction_is_rolled_back(run: Any) -> None:
    program = """
from tests.site.models import Item
def leave_open(connection):
    connection.set_autocommit(False)
    Item.objects.create(name="never committed")
loan(leave_open)
print(Item.objects.filter(name="never committed").exists())
connection.close()
"""
    assert run(program) == "False\n"


def test_a_transaction_that_the_driver_has_begun_is_left_to_nobody(run: Any) -> None:
    program = """
from tests.site.models import Item
def begin(connection):
    connection.connection.begin()
    Item.objects.create(name="never committed")
loan(begin)
print(Item.objects.filter(name="never committed").exists())
connection.close()
"""
    assert run(program) == "False\n"


def test_rows_that_were_not_read_close_the_connection(run: Any) -> None:
    program = """
from pymysql.cursors import SSCursor
def leave_rows(connection):
    global cursor
    cursor = connection.connection.cursor(SSCursor)
    cursor.execute("SELECT 1 UNION SELECT 2")
    assert cursor.fetchone() == (1,)
print(loan(leave_rows) != loan(query))
"""
    assert run(program) == "True\n"


def test_a_cursor_that_outlives_its_loan_is_refused(run: Any) -> None:
    program = """
def keep(connection):
    global kept
    kept = connection.connection.cursor()
loan(keep)
try:
    kept.execute("SELECT 1")
except MySQLdb.InterfaceError as error:
    print(error.args[1])
"""
    assert run(program) == "This connection has been given back to its pool.\n"


def test_a_killed_connection_is_replaced_unnoticed(run: Any) -> None:
    program = """
import threading
from tests.harness.processes import poll
def kill(number):
    connection.cursor().execute("KILL %s", [number])
    connection.close()
def be_killed(connection):
    mine = connection.connection
    killer = threading.Thread(target=kill, args=[mine.thread_id()])
    killer.start()
    killer.join()
    assert poll(lambda: not mine.is_alive())
killed = loan(be_killed)
print(killed in [loan(query), loan(query)])
"""
    assert run(program) == "False\n"


def test_it_rests_once_its_rows_are_read(run: Any) -> None:
    program = """
def ask(connection):
    query(connection)
    print(connection.connection.is_at_rest)
loan(ask)
"""
    assert run(program) == "True\n"


def test_it_is_seen_to_answer(run: Any) -> None:
    program = """
def ask(connection):
    print(connection.connection.answers(10))
    query(connection)
loan(ask)
"""
    assert run(program) == "True\n"


def test_each_result_of_a_procedure_is_read(run: Any) -> None:
    program = """
from pymysql.cursors import DictCursor, SSCursor
def call(connection):
    two = "CREATE PROCEDURE two() BEGIN SELECT 1 AS n; SELECT 2 AS n; END"
    with connection.cursor() as cursor:
        cursor.execute("DROP PROCEDURE IF EXISTS two")
        cursor.execute(two)
        cursor.callproc("two")
        print(cursor.fetchall(), cursor.nextset(), cursor.fetchall())
        print(cursor.nextset(), cursor.nextset())
    raw = connection.connection
    with raw.cursor(cursor=DictCursor) as cursor:
        cursor.execute("CALL two()")
        print(cursor.fetchall(), cursor.nextset(), cursor.fetchall())
    with raw.cursor(SSCursor) as cursor:
        cursor.execute("CALL two()")
        print(cursor.fetchall(), cursor.nextset(), cursor.fetchall())
    with connection.cursor() as cursor:
        cursor.execute("SELECT 3")
        print(cursor.fetchall())
loan(call)
"""
    assert run(program).splitlines() == [
        "((1,),) True ((2,),)",
        "True None",
        "[{'n': 1}] True [{'n': 2}]",
        "[(1,)] True [(2,)]",
        "((3,),)",
    ]


def test_results_are_told_as_mysqlclient_does(raw: Any) -> None:
    assert raw.query("SELECT 1; SELECT 2 UNION SELECT 3") == 1
    assert raw.next_result() == 0
    assert raw.affected_rows() == 2  # its rows have been read
    assert raw.next_result() == -1


def test_rows_that_are_to_be_read_are_told_as_a_result(raw: Any) -> None:
    from pymysql.cursors import SSCursor

    with raw.cursor(SSCursor) as cursor:
        cursor.execute("SELECT 1 UNION SELECT 2")
        assert raw.next_result() == 0
        assert cursor.fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("last", ["SELECT 1", "nonsense"])
def test_a_connection_is_closed_whatever_it_was_asked_last(raw: Any, last: str) -> None:
    from pymysql import MySQLError

    with contextlib.suppress(MySQLError):
        raw.query(last)
    raw.close()
    assert (raw.open, raw.fileno()) == (False, -1)


def test_outages_are_told_from_other_errors() -> None:
    """The driver's and the pool's part of the tests with a fake server."""
    tests = "tests/unit/test_outage_errors.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        env=os.environ | {"TEST_DRIVER": "pymysql"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
