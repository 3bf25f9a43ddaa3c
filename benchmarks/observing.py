"""What is seen of a server from outside, during the load and after it."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.load_report import is_good
from tests.harness.processes import process_tree
from tests.harness.servers import AppServer

THREADS_EVERY_SECONDS = 0.05
NEXT_SERVED_WITHIN_SECONDS = 10.0
RETRY_SECONDS = 0.02
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Threads:
    """The most threads seen in the processes that serve."""

    most: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def count(self, statuses: list[Path]) -> None:
        while not self._stop.wait(THREADS_EVERY_SECONDS):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                self.most = max(self.most, sum(map(_threads, statuses)))


@contextlib.contextmanager
def counting_threads(server: AppServer) -> Iterator[Threads]:
    # The harness looks for new processes each time; with thousands of threads that
    # would take more CPU than some of the servers.
    pids = list(process_tree(server.pid))
    statuses = [Path(f"/proc/{pid}/status") for pid in pids[1:] or pids]
    threads = Threads()
    counter = threading.Thread(target=threads.count, args=(statuses,))
    counter.start()
    try:
        yield threads
    finally:
        threads._stop.set()
        counter.join()


def _threads(status: Path) -> int:
    _, _, after = status.read_text().partition("\nThreads:")
    return int(after.split(maxsplit=1)[0])


@dataclass(slots=True)
class Others:
    """How many cores the rest of the machine used, on average."""

    cores: float = 0.0


@contextlib.contextmanager
def watching_others(server: AppServer, database_pid: int) -> Iterator[Others]:
    """What ran besides the server, the database, this process and its children.

    The children must have ended by then.
    """

    def ours() -> float:
        return (
            server.cpu_seconds()
            + _cpu_seconds(Path(f"/proc/{database_pid}/stat"))
            + sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        )

    others = Others()
    started, own, everybodys = time.monotonic(), ours(), _everybodys_cpu_seconds()
    yield others
    own, everybodys = ours() - own, _everybodys_cpu_seconds() - everybodys
    others.cores = max(0.0, everybodys - own) / (time.monotonic() - started)


def _cpu_seconds(stat: Path) -> float:
    # The command in parentheses may hold spaces; utime and stime are 14 and 15.
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / CLOCK_TICKS


def _everybodys_cpu_seconds() -> float:
    """Of all processes, and of other guests of the same host; not of interrupts."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _, _, _, _, steal, *_ = map(int, line.split()[1:])
    return (user + nice + system + steal) / CLOCK_TICKS


class Afterwards:
    """Asks for one more page when the load ends, until it is served."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._outcome: Future[float | None] | None = None
        self.interrupted = threading.Event()

    def begin(self, server: AppServer, end: float) -> None:
        if self._outcome is None:
            self._outcome = self._executor.submit(
                next_served, server, end, self.interrupted
            )

    def result(self) -> float | None:
        if self._outcome is None:
            raise RuntimeError("the load was over before it had told anything")
        return self._outcome.result()


@contextlib.contextmanager
def afterwards() -> Iterator[Afterwards]:
    with ThreadPoolExecutor(1) as executor:
        after = Afterwards(executor)
        try:
            yield after
        finally:
            after.interrupted.set()


def next_served(
    server: AppServer, end: float, interrupted: threading.Event
) -> float | None:
    """How long after *end* a client that comes then, and tries again, has its page."""
    interrupted.wait(max(0.0, end - time.monotonic()))
    deadline = end + NEXT_SERVED_WITHIN_SECONDS
    while (left := deadline - time.monotonic()) > 0 and not interrupted.is_set():
        if _is_served(server, left):
            return time.monotonic() - end
        interrupted.wait(RETRY_SECONDS)
    return None


def _is_served(server: AppServer, timeout: float) -> bool:
    client = http.client.HTTPConnection(server.host, server.port, timeout=timeout)
    try:
        client.request("GET", "/", headers={"Connection": "close"})
        return is_good(client.getresponse().status)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
