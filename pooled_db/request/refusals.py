"""The log of refusals: what happened, once a second at most."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..fork import in_child

logger: logging.Logger = logging.getLogger("pooled_db")

#: The shortest time between two lines for one alias, in seconds.
INTERVAL = 1.0


class RefusalLog:
    """One line a second for each alias, with a count of what it stands for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def add(self, alias: str, message: object) -> None:
        """Log *message*, or count it for the next line and never ask for its text."""
        now = self._clock()
        with self._lock:
            untold = self._untold.get(alias, 0)
            quiet = now - self._last.get(alias, float("-inf")) < INTERVAL
            if quiet:
                self._untold[alias] = untold + 1
            else:
                self._last[alias] = now
                self._untold[alias] = 0
        if not quiet:
            logger.warning(
                "503 for %d request(s) since the last line. The latest: %s",
                untold + 1,
                # A handler may keep its arguments, and with an error whole requests.
                str(message),
            )

    def after_fork(self) -> None:
        """Start with a lock that no thread of the parent holds."""
        self._lock = threading.Lock()


refusal_log: RefusalLog = RefusalLog()
in_child(refusal_log.after_fork)
