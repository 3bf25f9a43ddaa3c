"""Real application servers, for what a test client cannot show.

with uvicorn("demo.asgi:application", env={"DATABASE_PORT": "3306"}) as server:
    urllib.request.urlopen(server.url)
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from .processes import HOST, PATIENCE, Keeper, free_port, poll, process_tree, tail

STOP_SECONDS = 10.0
BACKLOG = "2048"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

# gunicorn listens long before its workers have imported the application.
WORKER_READY = "a worker has loaded the application"
GUNICORN_CONFIG = f"""\
def post_worker_init(worker):
    print({WORKER_READY!r}, flush=True)
"""


Serving = contextlib.AbstractContextManager["AppServer"]


class ServerFailed(Exception):
    """An application server ended early, or did not start in time."""


class AppServer:
    """One running application server, its workers included."""

    def __init__(
        self,
        command: Sequence[str],
        process: subprocess.Popen[bytes],
        port: int,
        keeper: Keeper,
    ) -> None:
        self.host = HOST
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.pid = process.pid
        self._name = " ".join(command[2:4])
        self._process = process
        self._keeper = keeper
        self._final_log: str | None = None

    def log(self) -> str:
        """What it has written to stdout and stderr; readable after the end too."""
        return self._keeper.log() if self._final_log is None else self._final_log

    def cpu_seconds(self) -> float:
        """User and system time of the whole process tree so far."""
        return sum(_cpu_ticks(pid) for pid in process_tree(self.pid)) / CLOCK_TICKS

    def threads(self) -> int:
        """Threads of the processes that serve: the workers, or the only one."""
        pids = list(process_tree(self.pid))
        return sum(_threads(pid) for pid in pids[1:] or pids)

    @property
    def exit_status(self) -> int | None:
        """What it has ended with; ``None`` while it runs."""
        return self._process.poll()

    def running(self) -> bool:
        return self._process.poll() is None

    def terminate(self) -> None:
        """End it: SIGTERM, and SIGKILL to what is left after a while. Idempotent."""
        if self._final_log is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._final_log = self._keeper.log()
        self._keeper.close()

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Wait until *ready*; raise with the log on an early end or the deadline."""
        if not poll(lambda: not self.running() or ready()):
            raise self._failure(f"not ready after {PATIENCE:g} s")
        if not self.running():
            raise self._failure(f"ended early with status {self._process.returncode}")

    def accepts(self) -> bool:
        """Whether it takes a TCP connection."""
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), timeout=1).close()
            return True
        return False

    def _failure(self, what: str) -> ServerFailed:
        return ServerFailed(f"{self._name} {what}; its output:\n{tail(self.log())}")


#: Where each server takes its address.
_ADDRESS = {
    "gunicorn": ("--bind", "{host}:{port}"),
    "uvicorn": ("--host", "{host}", "--port", "{port}"),
    "granian": ("--host", "{host}", "--port", "{port}"),
    "hypercorn": ("--bind", "{host}:{port}"),
    "daphne": ("--bind", "{host}", "--port", "{port}"),
    "uwsgi": ("--home", sys.prefix),
}


@contextlib.contextmanager
def gunicorn(
    application: str,
    *,
    threads: int = 1,
    workers: int = 1,
    env: Mapping[str, str],
    cwd: Path | None = None,
    args: Sequence[str] = (),
) -> Iterator[AppServer]:
    """Serve a WSGI application; *env* adds to this process's environment.

    With more than one thread gunicorn takes its gthread worker. *args* may hold
    anything but --config: with that the workers say when they are ready.
    """
    port = free_port()
    with contextlib.closing(Keeper("pooled_db-gunicorn")) as keeper:
        config = keeper.directory / "config.py"
        config.write_text(GUNICORN_CONFIG)
        command = [
            *(sys.executable, "-m", "gunicorn", application),
            *("--config", str(config)),
            *_address("gunicorn", port),
            *("--threads", str(threads)),
            *("--workers", str(workers)),
            *("--backlog", BACKLOG),
            *args,
        ]
        with _serving(command, port, keeper, env, cwd) as server:
            server.wait_for(lambda: server.log().count(WORKER_READY) >= workers)
            yield server


def uvicorn(
    application: str,
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    args: Sequence[str] = (),
) -> Serving:
    """Serve an ASGI application; *env* adds to this process's environment."""
    return _as_module("uvicorn", application, ["--backlog", BACKLOG, *args], env, cwd)


def granian(
    application: str,
    *,
    interface: Literal["wsgi", "asginl"],
    env: Mapping[str, str],
    cwd: Path | None = None,
    args: Sequence[str] = (),
) -> Serving:
    """Serve an application; *env* adds to this process's environment."""
    return _as_module(
        "granian",
        application,
        ["--interface", interface, "--backlog", BACKLOG, *args],
        env,
        cwd,
    )


def hypercorn(
    application: str,
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    args: Sequence[str] = (),
) -> Serving:
    """Serve an ASGI application; *env* adds to this process's environment."""
    return _as_module("hypercorn", application, ["--backlog", BACKLOG, *args], env, cwd)


def daphne(
    application: str,
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    args: Sequence[str] = (),
) -> Serving:
    """Serve an ASGI application; *env* adds to this process's environment."""
    return _as_module("daphne", application, args, env, cwd)


def uwsgi(
    application: str,
    *,
    threads: int = 1,
    workers: int = 1,
    env: Mapping[str, str],
    cwd: Path | None = None,
    args: Sequence[str] = (),
) -> Serving:
    """Serve a WSGI application, imported before the fork unless *args* say otherwise.

    With more than one thread Python's own threads are enabled.
    """
    port = free_port()
    command = [
        *(str(Path(sys.executable).with_name("uwsgi")), "--module", application),
        *("--http-socket", f"{HOST}:{port}"),
        *("--processes", str(workers)),
        *("--threads", str(threads)),
        *("--home", sys.prefix),
        # SIGTERM alone reloads.
        *("--master", "--die-on-term", "--need-app"),
        *args,
    ]
    return _kept(command, port, env, cwd)


def as_typed(line: str, *, env: Mapping[str, str]) -> Serving:
    """Serve by the command *line*, but on a port of its own."""
    port = free_port()
    name, *arguments = line.replace(":8000", f"{HOST}:{port}").split()
    program = Path(sys.executable).with_name(name)
    return _kept([str(program), *arguments, *_address(name, port)], port, env, None)


def _address(name: str, port: int) -> list[str]:
    return [part.format(host=HOST, port=port) for part in _ADDRESS[name]]


def _as_module(
    name: str,
    application: str,
    args: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
) -> Serving:
    port = free_port()
    command = [sys.executable, "-m", name, application, *_address(name, port), *args]
    return _kept(command, port, env, cwd)


@contextlib.contextmanager
def _kept(
    command: Sequence[str], port: int, env: Mapping[str, str], cwd: Path | None
) -> Iterator[AppServer]:
    name = Path(command[2] if command[1] == "-m" else command[0]).name
    with (
        contextlib.closing(Keeper(f"pooled_db-{name}")) as keeper,
        _serving(command, port, keeper, env, cwd) as server,
    ):
        yield server


@contextlib.contextmanager
def _serving(
    command: Sequence[str],
    port: int,
    keeper: Keeper,
    env: Mapping[str, str],
    cwd: Path | None,
) -> Iterator[AppServer]:
    process = keeper.start(command, env={**os.environ, **env}, cwd=cwd)
    server = AppServer(command, process, port, keeper)
    try:
        server.wait_for(server.accepts)
        yield server
    finally:
        server.terminate()


def _cpu_ticks(pid: int) -> int:
    """Ticks of one process and of its children that have ended; 0 once it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The command in parentheses may hold spaces; utime is field 14, state field 3.
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return 0
