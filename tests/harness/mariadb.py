"""A private MariaDB server, and the same view of a server that exists already.

    with MariaDB(max_connections=20) as server:
        DATABASES = {"default": {"ENGINE": ..., **server.database("shop")}}
        server.status("Threads_connected")

No root, no system service and no file outside one temporary directory are needed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import MySQLdb
from MySQLdb.connections import Connection
from MySQLdb.cursors import DictCursor
from typing_extensions import Self

from .processes import HOST, Keeper, free_port, is_stopped, poll, tail

START_SECONDS = 30.0
STOP_SECONDS = 30.0
READ_SECONDS = 30

# InnoDB answers innodb_trx from a copy that it keeps while it is read more often
# than every 0.1 s.
TRX_COPY_SECONDS = 0.11

LEAST_MAX_CONNECTIONS = 10

ADMIN = "pooled_admin"

# Fast rather than durable: the data lives no longer than the server.
FAST = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=0",
    "--innodb-log-file-size=8M",
    "--innodb-buffer-pool-size=64M",
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--back-log=2048",
)

# One statement a line, as --init-file wants it. Without SUPER and CONNECTION ADMIN
# the application is held to max_connections exactly.
ACCOUNTS = """\
DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';
FLUSH PRIVILEGES;
CREATE USER {user}@'{host}' IDENTIFIED BY '{password}';
CREATE USER {user}@'localhost' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO {user}@'{host}', {user}@'localhost';
REVOKE SUPER, CONNECTION ADMIN ON *.* FROM {user}@'{host}', {user}@'localhost';
CREATE USER {admin}@'{host}' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO {admin}@'{host}' WITH GRANT OPTION;
"""


class ServerError(Exception):
    """A server did not start, or not stop, as it should."""


class Server:
    """What can be asked of a database server, whoever runs it.

    All questions go over one connection of the harness's own. It is left out of the
    answers: of the processes, and of what status() counts.
    """

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
        self._admin_port = admin_port or port
        self._admin_user = admin_user or user
        self._reader: Connection | None = None
        self._reader_lock = threading.Lock()
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the harness's own connection. Idempotent."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def connect(self, **options: Any) -> Connection:
        """Open a connection as the application does."""
        return self._connect(self.user, self.port, **options)

    def admin(self, **options: Any) -> Connection:
        """Open a connection of the administrative account, in autocommit mode."""
        return self._connect(
            self._admin_user, self._admin_port, **{"autocommit": True, **options}
        )

    def _connect(self, user: str, port: int, **options: Any) -> Connection:
        account = {"user": user, "password": self.password}
        # The driver takes the socket only where no host is named.
        tcp = {} if "unix_socket" in options else {"host": self.host, "port": port}
        return Connection(**{**account, **tcp, **options})

    def database(
        self, name: str, *, via: Literal["tcp", "socket"] = "tcp"
    ) -> dict[str, Any]:
        """Create schema *name* if missing; return its part of Django's settings."""
        self._ask(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
        return {
            "NAME": name,
            "USER": self.user,
            "PASSWORD": self.password,
            "HOST": self.socket if via == "socket" else self.host,
            "PORT": "" if via == "socket" else self.port,
        }

    def process_list(self) -> list[dict[str, Any]]:
        """The application account's connections: id, db, command, time, state, info."""
        columns = ("Id", "db", "Command", "Time", "State", "Info")
        return [
            {column.lower(): row[column] for column in columns}
            for row in self._ask("SHOW FULL PROCESSLIST")
            if row["User"] == self.user and row["Id"] != self._reader_id()
        ]

    def status(self, name: str) -> int:
        """One number of SHOW GLOBAL STATUS, less the harness's own part in it."""
        (row,) = self._ask("SHOW GLOBAL STATUS WHERE Variable_name = %s", name)
        own = {
            "queries": self._asked,
            "questions": self._asked,
            "max_used_connections": 1,
            # MariaDB leaves out who came in by the extra port.
            "threads_connected": int(self._admin_port == self.port),
            "threads_running": 1,
        }
        return int(row["Value"]) - own.get(name.lower(), 0)

    def flush_status(self) -> None:
        """Let Max_used_connections start again from what is connected now."""
        self._ask("FLUSH STATUS")

    def open_transactions(self) -> int:
        """How many transactions InnoDB has open, idle ones included."""
        time.sleep(TRX_COPY_SECONDS)
        (row,) = self._ask("SELECT COUNT(*) AS n FROM information_schema.innodb_trx")
        return int(row["n"])

    def _ask(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        with self._reader_lock:
            if self._reader is None:
                self._reader = self.admin(
                    cursorclass=DictCursor,
                    connect_timeout=READ_SECONDS,
                    read_timeout=READ_SECONDS,
                )
                self._asked = 0
            self._asked += 1
            try:
                with self._reader.cursor() as cursor:
                    cursor.execute(sql, parameters or None)
                    return list(cursor.fetchall())
            except MySQLdb.OperationalError:
                self.close()  # the next question opens another
                raise

    def _reader_id(self) -> int | None:
        return None if self._reader is None else int(self._reader.thread_id())


def from_url(url: str) -> Server:
    """The server at mysql://user:password@host:port/, MariaDB or MySQL.

    Its account is both the application's and the administrative one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mysql", "mariadb") or not parts.hostname:
        raise ValueError(f"not a URL like mysql://user:password@host:port/: {url!r}")
    return Server(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
    )


class MariaDB(Server):
    """A private server: runs inside the with block, then all of it is removed.

    The account `user` has every privilege but those that lift max_connections; the
    administrative one has all, and comes in by a port that max_connections does not
    govern. Later `options` win over the harness's own.
    """

    def __init__(
        self, *, max_connections: int = 151, options: Sequence[str] = ()
    ) -> None:
        if max_connections < LEAST_MAX_CONNECTIONS:
            raise ValueError(
                f"max_connections={max_connections}: MariaDB takes no less than "
                f"{LEAST_MAX_CONNECTIONS}, and would silently use that"
            )
        super().__init__(
            host=HOST,
            port=free_port(),
            user="pooled",
            password=secrets.token_urlsafe(12),
            admin_port=free_port(),
            admin_user=ADMIN,
        )
        self.max_connections = max_connections
        self._options = tuple(options)
        self._keeper: Keeper | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Kill the server and remove its data. Idempotent."""
        super().close()
        self._process = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def start(self) -> None:
        """Start the server, on the data of its last run if there was one."""
        if self._process is not None:
            raise ServerError("already started")
        first = []
        if self._keeper is None:
            self._keeper = Keeper("pooled_db")
            self.socket = str(self._keeper.directory / "socket")
            first = self._install(self._keeper)
        self._process = self._keeper.start(
            [_binary("mariadbd"), *self._server_options(self._keeper), *first]
        )
        if not poll(START_SECONDS, self._answers):
            raise self._failure(f"does not answer after {START_SECONDS:g} s")

    def stop(self) -> None:
        """Shut the server down in good order; start() brings its data back."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server. What the last second committed may be lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, then start on the same data and port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server: it keeps its connections and answers nothing."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        poll(STOP_SECONDS, lambda: is_stopped(process.pid))

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def log(self) -> str:
        """The server's error log."""
        return self._keeper.log() if self._keeper else ""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError("not started")
        return self._process

    def _end(self, signal_number: signal.Signals) -> None:
        process = self._running()
        super().close()
        process.send_signal(signal_number)
        process.send_signal(signal.SIGCONT)  # a paused server would not stop
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failure(f"still runs {STOP_SECONDS:g} s after a stop") from None
        self._process = None

    def _answers(self) -> bool:
        if self._running().poll() is not None:
            raise self._failure("ended while starting")
        try:
            self._ask("SELECT 1")
        except MySQLdb.OperationalError:
            return False
        return True

    def _failure(self, what: str) -> ServerError:
        return ServerError(f"mariadbd {what}; the end of its log:\n{tail(self.log())}")

    def _install(self, keeper: Keeper) -> list[str]:
        """Make the data directory; return what the first start needs besides."""
        install = keeper.start(
            [
                _binary("mariadb-install-db"),
                *_common_options(keeper),
                "--force",  # no matter whether this host's name can be resolved
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ]
        )
        if install.wait(START_SECONDS) != 0:
            raise self._failure("could not make its data directory")
        accounts = keeper.directory / "accounts.sql"
        accounts.write_text(
            ACCOUNTS.format(
                user=self.user, admin=ADMIN, host=HOST, password=self.password
            )
        )
        return [f"--init-file={accounts}"]

    def _server_options(self, keeper: Keeper) -> list[str]:
        return [
            *_common_options(keeper),
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--extra-port={self._admin_port}",
            "--extra-max-connections=20",
            f"--socket={self.socket}",
            f"--pid-file={keeper.directory / 'pid'}",
            f"--max-connections={self.max_connections}",
            *self._options,
        ]


def _common_options(keeper: Keeper) -> list[str]:
    return [
        "--no-defaults",
        f"--datadir={keeper.directory / 'data'}",
        # A starting server removes temporary tables from its tmpdir, whosever they are.
        f"--tmpdir={keeper.directory}",
        *(["--user=root"] if os.geteuid() == 0 else []),
        *FAST,
    ]


def _binary(name: str) -> str:
    # Debian keeps servers in sbin, which is not on every user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerError(f"no {name} here: install mariadb-server-core (make setup)")
    return found
