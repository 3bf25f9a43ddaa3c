"""A database server of one's own, whichever it is."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import shutil
import signal
import subprocess
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import MySQLdb

from .processes import HOST, PATIENCE, Keeper, free_port, is_stopped, poll, tail
from .server import Server

ADMIN = "pooled_admin"

# Fast rather than durable: the data lives no longer than the server.
FAST = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--back-log=2048",
)

# One statement a line, as --init-file wants it.
ACCOUNTS = """\
CREATE USER {user}@'{host}' IDENTIFIED BY '{password}';
CREATE USER {user}@'localhost' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO {user}@'{host}', {user}@'localhost';
REVOKE {withheld} ON *.* FROM {user}@'{host}', {user}@'localhost';
CREATE USER {admin}@'{host}' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO {admin}@'{host}' WITH GRANT OPTION;
"""


class ServerError(Exception):
    """A server did not start, or not stop, as it should."""


class PrivateServer(Server):
    """Runs inside the with block, then all of it is removed.

    The account `user` has every privilege but those that lift max_connections and
    read_only; the administrative one has all, and comes in by a port that
    max_connections does not govern. Later `options` win over the harness's own.
    """

    #: The program's name, for messages.
    program: str
    #: What an installation brings along and these accounts do without, as SQL.
    before_accounts = ""
    #: What the application may not, as SQL: come in above max_connections, and write
    #: to a server that is read-only.
    withheld: str

    def __init__(
        self, *, max_connections: int = 151, options: Sequence[str] = ()
    ) -> None:
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

    @classmethod
    @abstractmethod
    def install_command(cls, keeper: Keeper) -> list[str]:
        """The command that makes a data directory where *keeper* has its own."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The program's path, and the options that only this kind of server has."""

    @property
    def pid(self) -> int:
        return self._running().pid

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
            first = self._make_data(self._keeper)
        self._process = self._keeper.start(
            [*self._full_command(self._keeper), *first], env=self._environment()
        )
        if not poll(self._answers):
            raise self._failure(f"does not answer after {PATIENCE:g} s")

    def _make_data(self, keeper: Keeper) -> list[str]:
        """Give a new server its data; return what its first start has to be told."""
        shutil.copytree(fresh_data(type(self)), keeper.directory / "data")
        return [f"--init-file={self._write_accounts(keeper)}"]

    def _full_command(self, keeper: Keeper) -> list[str]:
        program, *own = self._command()
        return [program, *self._server_options(keeper), *own, *self._options]

    def _environment(self) -> Mapping[str, str]:
        return os.environ

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
        poll(lambda: is_stopped(process.pid))

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def data(self) -> Path:
        """The server's data directory."""
        if self._keeper is None:
            raise ServerError("not started")
        return self._keeper.directory / "data"

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
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise self._failure(f"still runs {PATIENCE:g} s after a stop") from None
        self._process = None

    def _answers(self) -> bool:
        if self._running().poll() is not None:
            raise self._failure("ended while starting")
        try:
            self.ask("SELECT 1")
        except MySQLdb.OperationalError:
            return False
        return True

    def _failure(self, what: str) -> ServerError:
        return ServerError(
            f"{self.program} {what}; the end of its log:\n{tail(self.log())}"
        )

    def _write_accounts(self, keeper: Keeper) -> Path:
        accounts = keeper.directory / "accounts.sql"
        accounts.write_text(
            self.before_accounts
            + ACCOUNTS.format(
                user=self.user,
                admin=ADMIN,
                host=HOST,
                password=self.password,
                withheld=self.withheld,
            )
        )
        return accounts

    def _server_options(self, keeper: Keeper) -> list[str]:
        return [
            *common_options(keeper),
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--socket={self.socket}",
            f"--pid-file={keeper.directory / 'pid'}",
            f"--max-connections={self.max_connections}",
        ]


@functools.cache
def fresh_data(kind: type[PrivateServer]) -> Path:
    """A data directory to copy: to make one takes longer than to start a server."""
    keeper = Keeper("pooled_db-fresh")
    atexit.register(keeper.close)
    install = keeper.start(kind.install_command(keeper))
    try:
        status = install.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        status = None
    if status != 0:
        raise ServerError(
            f"{kind.program} could not make its data directory; the end of its log:\n"
            f"{tail(keeper.log())}"
        )
    return keeper.directory / "data"


def common_options(keeper: Keeper) -> list[str]:
    """What an installation has to be told as well as a server."""
    return [
        "--no-defaults",
        f"--datadir={keeper.directory / 'data'}",
        # A starting server removes temporary tables from its tmpdir, whosever they are.
        f"--tmpdir={keeper.directory}",
        *(["--user=root"] if os.geteuid() == 0 else []),
        *FAST,
    ]
