"""What is made of a server's own answers."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import MySQLdb
import pytest
from django.db import connections
from typing_extensions import Self

from pooled_db.watching.server_view import (
    Account,
    Busy,
    ServerView,
    ask,
    ask_pooled,
)

Rows = Sequence[tuple[object, ...]]

#: The number of the connection that asks.
OWN = 7
PROCESSES: Rows = [
    (OWN, "shop", "web1:5000", None, "Query", 0, "starting", "SHOW PROCESSLIST", 0.0),
    (8, "shop", "web1:5001", "shop", "Query", 9, "User sleep", "SELECT SLEEP(9)", 0.0),
    (9, "shop", "web1:5002", "shop", "Sleep", 3, "", None, 0.0),
    (10, "shop", "localhost", "shop", "Query", 1, "Sending data", "SELECT 1", 0.0),
    (11, "shop", "web1:5003", "shop", "Query", 1, "User lock", "DO GET_LOCK()", 0.0),
    (12, "system user", "", None, "Daemon", 1, "InnoDB purge worker", None, 0.0),
    (13, "replica", None, None, "Binlog Dump", 1, "", None, 0.0),
]
STATUS: Rows = [
    ("Max_used_connections", "21"),
    ("Threads_connected", "6"),
    ("THREADS_RUNNING", "2"),
    ("Connection_errors_max_connections", "3"),
]
SAYS: Mapping[str, Rows] = {
    "SELECT @@max_connections": [("151", "db1", 3306)],
    "SHOW GLOBAL STATUS": STATUS,
    "SHOW PROCESSLIST": PROCESSES,
}


class Connected:
    """A connection whose server *says* what it is told to; without rows it fails."""

    def __init__(self, says: Mapping[str, Rows]) -> None:
        self.says = says
        self.asked: list[str] = []
        self.is_open = True
        self._rows: Rows = ()

    def thread_id(self) -> int:
        return OWN

    def cursor(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def execute(self, sql: str) -> None:
        self.asked.append(sql)
        for beginning, rows in self.says.items():
            if sql.startswith(beginning):
                _, _, names = sql.partition(" WHERE Variable_name IN ")
                wanted = ast.literal_eval(names.lower() or "()")
                self._rows = [
                    row for row in rows if not wanted or str(row[0]).lower() in wanted
                ]
                return
        raise MySQLdb.OperationalError(2013, "Lost connection to server during query")

    def fetchall(self) -> Rows:
        return self._rows

    def close(self) -> None:
        self.is_open = False


def serve(monkeypatch: pytest.MonkeyPatch, says: Mapping[str, Rows]) -> list[Connected]:
    """Let each connection that is opened be such a one; return them."""
    opened: list[Connected] = []

    def open_connection() -> Connected:
        opened.append(Connected(says))
        return opened[-1]

    monkeypatch.setattr(connections["default"], "open_connection", open_connection)
    return opened


def test_a_server_is_told_with_its_numbers_and_its_accounts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = serve(monkeypatch, SAYS)
    assert ask("default") == ServerView(
        max_connections=151,
        max_used=21,
        connected=6,
        running=2,
        refused=3,
        server="db1:3306",
        # The connection that asks is not counted.
        accounts=(
            Account("shop", "web1", 3, 2),
            Account("shop", "localhost", 1, 1),
            Account("system user", "", 1, 0),
            Account("replica", "", 1, 0),
        ),
    )
    assert [one.is_open for one in opened] == [False]


def test_what_a_server_does_not_count_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, {**SAYS, "SHOW GLOBAL STATUS": STATUS[:1]})
    view = ask("default")
    assert (view.max_used, view.connected, view.running, view.refused) == (21, 0, 0, 0)


def test_a_server_that_is_lost_meanwhile_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = serve(monkeypatch, {"SELECT @@max_connections": [(151, "db1", 3306)]})
    why = "the connection broke while connecting (error 2013)"
    assert ask("default") == ServerView(error=why)
    assert [one.is_open for one in opened] == [False]


@pytest.mark.parametrize(
    ("kind", "code", "why"),
    [
        (MySQLdb.OperationalError, 2003, "the server does not answer (error 2003)"),
        (MySQLdb.OperationalError, 2002, "the server does not answer (error 2002)"),
        (MySQLdb.OperationalError, 1045, "OperationalError (error 1045)"),
        (MySQLdb.ProgrammingError, 1146, "ProgrammingError (error 1146)"),
    ],
)
def test_why_a_server_cannot_be_asked_names_neither_host_nor_user(
    monkeypatch: pytest.MonkeyPatch, kind: type[MySQLdb.Error], code: int, why: str
) -> None:
    def fail() -> None:
        raise kind(code, "'shop'@'db1.internal'")

    monkeypatch.setattr(connections["default"], "open_connection", fail)
    assert ask("default") == ServerView(error=why)


def test_a_connection_of_the_pool_is_asked_where_a_site_must_not_open_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapper: Any = connections["default"]
    connected: Any = Connected(SAYS)

    def ensure_connection() -> None:
        wrapper.connection = connected

    monkeypatch.setattr(wrapper, "ensure_connection", ensure_connection)
    try:
        assert ask_pooled("default").max_connections == 151
    finally:
        wrapper.connection = None
    assert connected.is_open


def test_a_connection_of_the_pool_that_is_lost_meanwhile_is_told_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise MySQLdb.OperationalError(2006, "'shop'@'db1.internal'")

    monkeypatch.setattr(connections["default"], "ensure_connection", fail)
    assert ask_pooled("default") == ServerView(
        error="the server went away while connecting (error 2006)"
    )


# For whom it does something.


def test_a_server_works_for_those_whose_statement_does_more_than_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = serve(monkeypatch, SAYS)
    with contextlib.closing(Busy()) as busy:
        for _ in range(2):
            assert busy("default") == frozenset({OWN, 10})
    assert [(len(one.asked), one.is_open) for one in opened] == [(2, False)]


def test_a_server_that_is_lost_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = serve(monkeypatch, {})
    with contextlib.closing(Busy()) as busy:
        for _ in range(2):
            assert busy("default") is None
        assert [(len(one.asked), one.is_open) for one in opened] == [(1, False)]
