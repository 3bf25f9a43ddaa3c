"""What can be asked of a database server, whoever runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import MySQLdb
from MySQLdb.connections import Connection
from MySQLdb.cursors import DictCursor

from .started import Started

READ_SECONDS = 30

# InnoDB answers innodb_trx from a copy that it keeps while it is read more often
# than every 0.1 s: by whomever, so two objects for one server count as one.
TRX_COPY_SECONDS = 0.11
TRX_READ_AT: dict[tuple[str, int], float] = {}


class Server(Started):
    """What can be asked of a database server, whoever runs it.

    All questions go over one connection of the harness's own. It is left out of the
    answers: of the processes, and of what status() counts.

    `client_options` are what the driver must be told besides address and account.
    """

    client_options: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        *,
        host: str,
        port: int,
        user: str,
        password: str,
        admin_port: int | None = None,
        admin_user: str | None = None,
        socket: str | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.socket = socket
        self.user = user
        self.password = password
        self.admin_port = admin_port or port
        self.admin_user = admin_user or user
        self._reader: Connection | None = None
        self._reader_lock = threading.Lock()
        self._asked = 0

    def start(self) -> None:
        """Nothing: it runs already."""

    def close(self) -> None:
        """Close the harness's own connection. Idempotent."""
        self.hang_up()

    def hang_up(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def connect(self, **options: Any) -> Connection:
        """Open a connection as the application does."""
        return self._connect(self.user, self.port, **options)

    def admin(self, **options: Any) -> Connection:
        """Open a connection of the administrative account, in autocommit mode."""
        return self._connect(
            self.admin_user, self.admin_port, **{"autocommit": True, **options}
        )

    def _connect(self, user: str, port: int, **options: Any) -> Connection:
        account = {"user": user, "password": self.password}
        # The driver takes the socket only where no host is named.
        tcp = {} if "unix_socket" in options else {"host": self.host, "port": port}
        return Connection(**{**account, **tcp, **self.client_options, **options})

    def database(
        self, name: str, *, via: Literal["tcp", "socket"] = "tcp", **options: Any
    ) -> dict[str, Any]:
        """Create schema *name* if missing; return its part of Django's settings.

        *options* are added to those which the server needs.
        """
        self.ask(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
        return self.settings(name, via=via, **options)

    def settings(
        self, name: str, *, via: Literal["tcp", "socket"] = "tcp", **options: Any
    ) -> dict[str, Any]:
        """Return schema *name*'s part of Django's settings, without asking the server.

        *options* are added to those which the server needs.
        """
        options = {**self.client_options, **options}
        return {
            "NAME": name,
            "USER": self.user,
            "PASSWORD": self.password,
            "HOST": self.socket if via == "socket" else self.host,
            "PORT": "" if via == "socket" else self.port,
            **({"OPTIONS": options} if options else {}),
        }

    @cached_property
    def is_mariadb(self) -> bool:
        (row,) = self.ask("SELECT VERSION() AS version")
        return "MariaDB" in row["version"]

    def process_list(self) -> list[dict[str, Any]]:
        """The application account's connections, with the list's own names in small."""
        columns = ("Id", "Host", "db", "Command", "Time", "State", "Info")
        return [
            {column.lower(): row[column] for column in columns}
            for row in self.ask("SHOW FULL PROCESSLIST")
            if row["User"] == self.user and row["Id"] != self._reader_id()
        ]

    def status(self, name: str) -> int:
        """One number of SHOW GLOBAL STATUS, less the harness's own part in it."""
        (row,) = self.ask("SHOW GLOBAL STATUS WHERE Variable_name = %s", name)
        own = {
            "queries": self._asked,
            "questions": self._asked,
            "max_used_connections": 1,
            "threads_connected": int(self._counts_administrators()),
            "threads_running": 1,
        }
        return int(row["Value"]) - own.get(name.lower(), 0)

    def flush_status(self) -> None:
        """Let Max_used_connections start again from what is connected now."""
        self.ask("FLUSH STATUS")

    def open_transactions(self) -> int:
        """How many transactions InnoDB has open, idle ones included."""
        address = self.host, self.port
        if (read_at := TRX_READ_AT.get(address)) is not None:
            since = time.monotonic() - read_at
            time.sleep(max(0.0, TRX_COPY_SECONDS - since))
        (row,) = self.ask("SELECT COUNT(*) AS n FROM information_schema.innodb_trx")
        TRX_READ_AT[address] = time.monotonic()
        return int(row["n"])

    def ask(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Execute a statement over the harness's own connection; return its rows."""
        with self._reader_lock:
            if self._reader is None:
                self._reader = self.admin(
                    cursorclass=DictCursor,
                    connect_timeout=READ_SECONDS,
                    read_timeout=READ_SECONDS,
                    # A test's server may be set to end idle sessions soon.
                    init_command="SET SESSION wait_timeout = 3600",
                )
                self._asked = 1
            self._asked += 1
            try:
                with self._reader.cursor() as cursor:
                    cursor.execute(sql, parameters or None)
                    return list(cursor.fetchall())
            except MySQLdb.OperationalError:
                self.hang_up()  # the next question opens another
                raise

    def _counts_administrators(self) -> bool:
        """Whether Threads_connected has the harness's own connection in it."""
        return True

    def _reader_id(self) -> int | None:
        return None if self._reader is None else int(self._reader.thread_id())


def from_url(url: str) -> Server:
    """The server at mysql://user:password@host:port/?ssl_mode=REQUIRED, of any kind.

    Its account is both the application's and the administrative one. What follows the
    question mark is for the driver.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mysql", "mariadb") or not parts.hostname:
        raise ValueError(f"not a URL like mysql://user:password@host:port/: {url!r}")
    server = Server(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
    )
    server.client_options = dict(parse_qsl(parts.query))
    return server
