"""What PyMySQL's connection says, as mysqlclient's would, without a server."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

connections: Any = pytest.importorskip("pymysql.connections")


def result(**of: bool) -> Any:
    return SimpleNamespace(**{"unbuffered_active": False, "has_next": False, **of})


@pytest.fixture
def connection() -> Any:
    """One that has connected to nothing."""
    from pooled_db.driver.pymysql import Connection

    return Connection.__new__(Connection)


def test_one_has_a_descriptor_until_it_is_closed(connection: Any) -> None:
    connection._sock = SimpleNamespace(fileno=lambda: 7)
    assert connection.fileno() == 7
    connection._sock = None
    assert connection.fileno() == -1


@pytest.mark.parametrize(
    ("how", "unbuffered"), [((), False), ((False,), False), ((True,), True)]
)
def test_a_statement_is_followed_by_its_result(
    monkeypatch: pytest.MonkeyPatch,
    connection: Any,
    how: tuple[bool, ...],
    unbuffered: bool,
) -> None:
    """By which mysqlclient's cursors say how they read it."""
    done: list[str] = []
    monkeypatch.setattr(connections.Connection, "query", lambda self, *args: args)
    for name in ("use_result", "store_result"):
        monkeypatch.setattr(connection, name, partial(done.append, name))
    assert connection.query("SELECT 1", *how) == ("SELECT 1", unbuffered)
    assert done == ["use_result" if unbuffered else "store_result"]


def test_a_transaction_is_begun_by_a_statement(
    monkeypatch: pytest.MonkeyPatch, connection: Any
) -> None:
    made: list[str] = []
    monkeypatch.setattr(connection, "query", made.append)
    connection.begin()
    assert made == ["BEGIN"]


def test_a_statement_may_be_made_in_two_halves(
    monkeypatch: pytest.MonkeyPatch, connection: Any
) -> None:
    done: list[tuple[object, ...]] = []
    for name in ("_execute_command", "_read_query_result"):
        monkeypatch.setattr(
            connection, name, lambda *args, name=name: done.append((name, *args))
        )
    connection.send_query(b"DO 0")
    assert done == [("_execute_command", 3, b"DO 0")]
    connection.read_query_result()
    assert done[1:] == [("_read_query_result",)]


def test_a_text_is_written_by_pymysqls_own_methods(connection: Any) -> None:
    """Before 1.2 one of them has the name of another of mysqlclient's."""
    connection.server_status = 0
    assert connection.escape("it's") == r"'it\'s'"


@pytest.mark.parametrize(
    ("status", "quoted"), [(0, b"'\\''"), (512, b"''''")], ids=["escapes", "does not"]
)
def test_it_tells_whether_a_backslash_escapes(
    connection: Any, status: int, quoted: bytes
) -> None:
    connection.server_status = status
    assert connection.string_literal(b"'") == quoted


@pytest.mark.parametrize(
    ("last", "says", "asks"),
    [
        (None, -1, 0),
        (result(), -1, 0),
        (result(has_next=True), 0, 1),
        # Its rows are to be read first.
        (result(unbuffered_active=True, has_next=True), 0, 0),
    ],
)
def test_there_is_more_until_the_last_result_has_been_read(
    monkeypatch: pytest.MonkeyPatch, connection: Any, last: Any, says: int, asks: int
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        connections.Connection,
        "next_result",
        lambda self, unbuffered: asked.append(unbuffered),
    )
    connection._result = last
    assert connection.next_result() == says
    assert asked == asks * [False]  # rows are read as the one before


def test_a_session_is_not_made_as_new(connection: Any) -> None:
    with pytest.raises(connections.err.NotSupportedError):
        connection.change_user("any", "any", "any")


@pytest.mark.parametrize("last", [None, result(unbuffered_active=True)])
def test_of_what_is_closed_no_rows_are_left_to_be_read(
    monkeypatch: pytest.MonkeyPatch, connection: Any, last: Any
) -> None:
    """A result would go on reading from the socket when it is collected."""
    closed: list[object] = []
    monkeypatch.setattr(connections.Connection, "close", lambda one: closed.append(one))
    connection._result = last
    connection.close()
    assert closed == [connection]
    assert last is None or not last.unbuffered_active
