"""What the watcher calls clean, executed by the server."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import MySQLdb
import pytest
from hypothesis import HealthCheck, given, settings
from MySQLdb.connections import Connection

from pooled_db.driver.statements import may_change_session
from tests.harness.server import Server
from tests.statements import statements_in_bytes, traps


def ask(connection: Connection, statement: bytes) -> list[tuple[object, ...]]:
    """Return the rows of all results."""
    connection.query(statement)
    rows: list[tuple[object, ...]] = []
    while True:
        result = connection.store_result()
        if result is not None:
            rows += result.fetch_row(0)
        if connection.next_result() == -1:
            return rows


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    server.database("pooled_bare")
    options = {"database": "pooled_bare", "use_unicode": False}
    with contextlib.closing(server.connect(**options)) as connection:
        connection.autocommit(True)
        yield connection


MODES = {"": True, "ANSI_QUOTES": True, "NO_BACKSLASH_ESCAPES": False}


in_every_mode = pytest.mark.parametrize(
    ("mode", "character_set"),
    [*itertools.product(MODES, ["utf8mb4", "latin1", "gbk", "sjis", "big5"])],
)


def assert_harmless_if_clean(
    connection: Connection, statement: bytes, mode: str, character_set: str
) -> None:
    if may_change_session(statement, lambda: MODES[mode], lambda: character_set):
        return
    connection.set_character_set(character_set)
    begin = f"SET sql_mode = '{mode}', @a = NULL; DO RELEASE_ALL_LOCKS()"
    ask(connection, begin.encode())
    with contextlib.suppress(MySQLdb.Error):
        ask(connection, statement)
    assert ask(connection, b"SELECT @a, IS_USED_LOCK('x')") == [(None, None)], statement


@in_every_mode
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(statement=statements_in_bytes())
def test_a_clean_statement_changes_nothing_when_executed(
    connection: Connection, mode: str, character_set: str, statement: bytes
) -> None:
    assert_harmless_if_clean(connection, statement, mode, character_set)


@in_every_mode
def test_no_string_hides_what_the_server_executes(
    connection: Connection, mode: str, character_set: str
) -> None:
    for statement in traps():
        assert_harmless_if_clean(connection, statement, mode, character_set)
