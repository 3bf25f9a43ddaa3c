"""What all started servers share: a keeper, a free port, a deadline."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"

# The kernel takes outgoing connections' ports from 32768 up (Linux's default).
# Below that no client's connection can sit on a stopped server's port.
FIRST_PORT, LAST_PORT = 10_000, 32_767

# Tests start the common generator anew, and all alike.
CHANCE = random.SystemRandom()

SOCKET_PATH_LIMIT = 107

#: How long a test waits for what must come, in seconds: measures nothing, and is long
#: enough for a machine that has much else to do.
PATIENCE = 60.0
#: For how long two looks are apart, in seconds, on a machine that does not stand still.
LONGEST_LOOK = 0.25
MARK = "POOLED_DB_KEEPER"

# A line comes in when the writer is done; the end, when it has died, however it did.
# Then: kill whoever bears the mark until nobody does, and remove the directory.
KEEPER = """
trap '' HUP INT TERM
read -r _
while
    marked=$(grep -lszxF -- "$1=$2" /proc/[0-9]*/environ)
    [ -n "$marked" ] || ! rm -rf -- "$2"
do
    for environ in $marked; do
        pid=${environ#/proc/}
        kill -9 "${pid%/environ}"
    done
    sleep 0.02
done 2>/dev/null
"""


class Keeper:
    """A temporary directory, and the processes that live in it.

    Both are gone after close(), and after the death of this process too, even by
    SIGKILL: a child of its own waits for that. Processes that were started through
    the keeper are found by a mark in their environment, which their children
    inherit; no process id is trusted to be still the same process.
    """

    def __init__(self, name: str) -> None:
        self.directory = _temporary_directory(name)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._child = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "keeper", MARK, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={key: value for key, value in os.environ.items() if key != MARK},
            start_new_session=True,  # a Ctrl-C in the terminal is not for it
        )

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start *command* with its output appended to log_path."""
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**(os.environ if env is None else env), MARK: str(self.directory)},
                cwd=cwd,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    @property
    def log_path(self) -> Path:
        return self.directory / "log"

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.log_path.read_text(errors="replace")
        return ""

    def close(self) -> None:
        """Kill what still runs and remove the directory. Idempotent."""
        assert self._child.stdin is not None
        if not self._child.stdin.closed:
            # A forked child of ours may hold the pipe open, so its end is not enough.
            with contextlib.suppress(BrokenPipeError), self._child.stdin as pipe:
                pipe.write(b"\n")
        self._child.wait()
        for process in self._processes:
            process.kill()  # ended already, unless the keeper itself was killed
            process.wait()


def _temporary_directory(name: str) -> Path:
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    if len(str(directory / "socket")) > SOCKET_PATH_LIMIT:
        shutil.rmtree(directory)
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))
    return directory


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nobody listens.

    Workers of pytest-xdist draw from shares of their own: a port that one of them has
    drawn and does not use yet is free for the others too.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = CHANCE.randrange(FIRST_PORT + worker, LAST_PORT + 1, workers)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port


def poll(ready: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Return whether *ready* came true within *seconds*.

    Of a longer pause between two looks no more than LONGEST_LOOK counts: whoever is
    looked at has stood as still as this process.
    """
    then, left = time.monotonic(), seconds
    while not ready():
        if left < 0:
            return False
        time.sleep(0.01)
        before, then = then, time.monotonic()
        left -= min(then - before, LONGEST_LOOK)
    return True


def completed(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    seconds: float = PATIENCE,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; raise TimeoutExpired if that does not come.

    *env* is all of its environment. Time is counted as in `poll`.
    """
    looks = int(seconds / LONGEST_LOOK)
    with subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for look in range(looks + 1):
            try:
                out, err = process.communicate(timeout=LONGEST_LOOK)
                break
            except subprocess.TimeoutExpired:
                if look == looks:
                    process.kill()
                    raise
            except BaseException:
                process.kill()
                raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def is_stopped(pid: int) -> bool:
    """Whether every thread of the process has stopped, as SIGSTOP demands."""
    states = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(
        state.read_text().rpartition(")")[2].split()[0] == "T" for state in states
    )


def tail(text: str, lines: int = 40) -> str:
    return "\n".join(text.splitlines()[-lines:])


def process_tree(pid: int) -> Iterator[int]:
    """Yield *pid* and its descendants, parents first; what has ended is left out."""
    tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
    if tasks:
        yield pid
    for children in tasks:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text().split():
                yield from process_tree(int(child))
