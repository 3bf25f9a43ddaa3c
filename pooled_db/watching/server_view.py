"""What a database server itself says of its connections."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import django.db
import MySQLdb
from django.db import connections

from ..driver.connection import Connection
from ..driver.errors import error_code, why_not_connected


@dataclass(frozen=True, slots=True)
class Account:
    """How many connections an account has from one host, and how many are at work."""

    user: str
    host: str
    connections: int
    at_work: int


@dataclass(frozen=True, slots=True)
class ServerView:
    """The server's own numbers; ``error`` says why there are none.

    ``server`` is what it calls itself, host and port: the same for aliases of one.
    ``refused`` counts connections that the server has refused for want of room since it
    started, ``running`` the statements that run now. Without the PROCESS privilege
    ``accounts`` has one's own only. The connection that asks is not counted there.
    """

    max_connections: int = 0
    max_used: int = 0
    connected: int = 0
    running: int = 0
    refused: int = 0
    accounts: tuple[Account, ...] = ()
    error: str | None = None
    server: str = ""


#: Where the server keeps them.
_STATUS = {
    "max_used": "Max_used_connections",
    "connected": "Threads_connected",
    "running": "Threads_running",
    "refused": "Connection_errors_max_connections",
}

#: Commands of threads that have nothing to do, and states of statements that wait
#: because they say so: SLEEP() and GET_LOCK().
_AT_REST = ("Sleep", "Daemon", "Binlog Dump")
_ASLEEP = ("User sleep", "User lock")


def ask(alias: str) -> ServerView:
    """Ask the server of *alias*, on a connection beside its pool, which may be full."""
    wrapper: Any = connections[alias]
    try:
        connection: Connection = wrapper.open_connection()
    except MySQLdb.Error as error:
        return ServerView(error=_why(error))
    try:
        return _ask(connection)
    except MySQLdb.Error as error:
        return ServerView(error=_why(error))
    finally:
        connection.close()


def ask_pooled(alias: str) -> ServerView:
    """Do the same on a connection of the pool: a site must not open more."""
    wrapper = connections[alias]
    try:
        wrapper.ensure_connection()
        return _ask(wrapper.connection)
    except (MySQLdb.Error, django.db.Error) as error:
        return ServerView(error=_why(error))


class Busy:
    """Tells what a server does at the moment, on one connection beside its pool."""

    def __init__(self) -> None:
        self._connections: dict[str, Connection | None] = {}

    def __call__(self, alias: str) -> frozenset[int] | None:
        """Return which connections of *alias* it works for; ``None`` if it cannot say.

        Not those whose statement only sleeps or waits for a lock of its own making: any
        number of them can do so at once.
        """
        if alias not in self._connections:
            self._connections[alias] = self._open(alias)
        connection = self._connections[alias]
        if connection is None:
            return None
        try:
            rows = _rows(connection, "SHOW PROCESSLIST")
        except MySQLdb.Error:
            self._connections[alias] = None
            connection.close()
            return None
        return frozenset(
            int(number)
            for number, _, _, _, command, _, state, *_ in rows
            if command not in _AT_REST and state not in _ASLEEP
        )

    def _open(self, alias: str) -> Connection | None:
        wrapper: Any = connections[alias]
        try:
            connection: Connection = wrapper.open_connection()
        except MySQLdb.Error:
            return None
        return connection

    def close(self) -> None:
        for connection in self._connections.values():
            if connection is not None:
                connection.close()


def _why(error: BaseException) -> str:
    """Say what is wrong, without host and user."""
    what = why_not_connected(error) or type(error).__name__
    code = error_code(error)
    return what if code is None else f"{what} (error {code})"


def _ask(connection: Connection) -> ServerView:
    sql = "SELECT @@max_connections, @@hostname, @@port"
    ((most, host_name, port),) = _rows(connection, sql)
    names = ", ".join(f"'{name}'" for name in _STATUS.values())
    rows = _rows(connection, f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
    status = {name.lower(): int(value) for name, value in rows}
    own = connection.thread_id()
    all_of: Counter[tuple[str, str]] = Counter()
    at_work: Counter[tuple[str, str]] = Counter()
    for number, user, host, _, command, *_ in _rows(connection, "SHOW PROCESSLIST"):
        if int(number) != own:
            account = user, (host or "").rpartition(":")[0] or host or ""
            all_of[account] += 1
            at_work[account] += command not in _AT_REST
    numbers = {key: status.get(name.lower(), 0) for key, name in _STATUS.items()}
    return ServerView(
        max_connections=int(most),
        max_used=numbers["max_used"],
        connected=numbers["connected"],
        running=numbers["running"],
        refused=numbers["refused"],
        server=f"{host_name}:{port}",
        accounts=tuple(
            Account(*account, count, at_work[account])
            for account, count in all_of.most_common()
        ),
    )


def _rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())
