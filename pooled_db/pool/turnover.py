"""For how long connections live, so that they spread over the nodes that there are."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from ..driver.connection import Connection

#: Connections end up to this share of their life early, so that those opened together
#: do not all end together (HikariCP's maxLifetime does the same).
JITTER = 0.1
#: The shortest life after a failure, in seconds. A node that comes back within two
#: minutes has its share after half a minute.
SHORTEST = 30.0
#: The life of a connection as a share of the time since the last failure: a node that
#: was away for an hour has its share after a quarter of an hour.
OF_THE_TIME_SINCE = 0.25
#: Those that are open at a failure, or when a node is back, end over this many seconds.
SPREAD_OVER = 30.0
#: How many failures count as one, in seconds.
AS_ONE = 1.0


class Turnover:
    """Lets connections live for *recycle* seconds, and shorter after a failure.

    Behind a proxy nobody sees that a node has come back: it gets no connection until
    others end. So after a failure they end sooner, one by one, and live longer the
    longer ago it is.
    """

    def __init__(
        self, recycle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recycle = recycle
        self._clock = clock
        self._failed_at = float("-inf")

    def end_of(self, now: float) -> float:
        """When a connection that is opened at *now* is to be replaced."""
        since = now - self._failed_at
        if since * OF_THE_TIME_SINCE >= self._recycle:
            return now + self._recycle * (1.0 - JITTER * random.random())
        life = min(self._recycle, max(SHORTEST, since * OF_THE_TIME_SINCE))
        return now + life * random.uniform(0.5, 1.0)

    def failed(self, connections: Iterable[Connection]) -> None:
        """Note that a node has failed, and let *connections* end soon, one by one."""
        now = self._clock()
        if now - self._failed_at < AS_ONE:
            return
        self._failed_at = now
        self.spread(connections)

    def spread(self, connections: Iterable[Connection]) -> None:
        """Let *connections* end soon, one by one: there is a node to move to."""
        now = self._clock()
        for connection in connections:
            soon = now + SPREAD_OVER * random.uniform(0.5, 1.0)
            connection.expires = min(connection.expires, soon)
