"""What is done for pools while nobody asks them for anything."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

logger: logging.Logger = logging.getLogger("pooled_db")

#: Seconds until the next attempt after a mistake.
AFTER_FAILURE = 60.0


class Kept(Protocol):
    """A pool, as its upkeep knows it."""

    alias: str

    def look_after(self, now: float) -> float | None:
        """Do what is due, and return when to come again; ``None`` for never."""


class Upkeep:
    """A daemon thread that sleeps until one of the pools has something to do.

    There is none while no pool has: it is started by whoever opens a connection, and
    ends. Times are in seconds on the monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Start with no pools and no thread, and with a lock that nobody holds."""
        self._changed = threading.Condition(threading.Lock())
        self._due: weakref.WeakKeyDictionary[Kept, float] = weakref.WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def watch(self, pool: Kept, at: float) -> None:
        """Have *pool* looked after at *at*, or earlier if that was arranged before."""
        with self._changed:
            known = self._due.get(pool)
            if known is None or at < known:
                self._due[pool] = at
                self._changed.notify()
            # It may have failed to start, or have ended by a mistake.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="pooled_db upkeep", daemon=True
                )
                # A process that ends, or may have no more threads, goes on without for
                # the time being.
                with contextlib.suppress(RuntimeError):
                    self._thread.start()

    def _run(self) -> None:
        while True:
            pool = self._next()
            if pool is None:
                return
            try:
                again = pool.look_after(self._clock())
            except Exception:
                logger.exception("The upkeep of %r failed; it goes on.", pool.alias)
                again = self._clock() + AFTER_FAILURE
            if again is not None:
                self.watch(pool, again)
            del pool  # nobody else may want it any more

    def _next(self) -> Kept | None:
        with self._changed:
            while True:
                due = sorted(self._due.items(), key=lambda entry: entry[1])
                if not due:
                    self._thread = None
                    return None
                pool, at = due[0]
                pause = at - self._clock()
                if pause <= 0:
                    del self._due[pool]
                    return pool
                del due, pool
                self._changed.wait(pause)


upkeep: Upkeep = Upkeep()
