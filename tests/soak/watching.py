"""What is seen of the site's process from outside while it runs."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

from tests.harness.processes import process_tree
from tests.harness.sockets import most_clients

EVERY = 0.05
MEMORY_EVERY = 0.5


class Watch:
    """Counts connections to *port*, and the memory of the processes under *pid*."""

    def __init__(self, pid: int, port: int, *, limit: int) -> None:
        self.most_connections = 0
        #: When, and how many MiB of its own it had then.
        self.memory: list[tuple[float, float]] = []
        self._pid = pid
        self._port = port
        self._limit = limit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def growth(self, since: float) -> float:
        """MiB between the first and the last fifth of the time after *since*."""
        sizes = [size for at, size in self.memory if at >= since]
        fifth = max(1, len(sizes) // 5)
        return statistics.median(sizes[-fifth:]) - statistics.median(sizes[:fifth])

    def _run(self) -> None:
        due = 0.0
        while not self._stop.wait(EVERY):
            count = most_clients(self._port, expected=self._limit)
            self.most_connections = max(self.most_connections, count)
            if time.monotonic() >= due:
                due = time.monotonic() + MEMORY_EVERY
                self.memory.append((time.monotonic(), own_memory(self._pid)))


def own_memory(pid: int) -> float:
    """MiB of the process and its children: each shared page counts by its share."""
    return sum(map(_proportional_size, process_tree(pid))) / 1024


def _proportional_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
