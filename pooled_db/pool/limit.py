"""How many connections a server grants, learnt from its refusals."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .outage import JITTER, PATIENCE, pause_beside

logger: logging.Logger = logging.getLogger("pooled_db")

#: The shortest time between two lines in the log, in seconds.
INTERVAL = 1.0
#: The shortest time before one more is tried, in seconds: another thread may be trying.
SHORTEST_PAUSE = 0.05

#: The same where only a request can tell whether there is room.
FIRST_LATE_PAUSE = 0.5
LONGEST_LATE = 8.0

#: For how many seconds at least the room of a connection is left to others. A pool that
#: has none looks for room at least as often (outage.py).
ROOM_IS_LEFT = 0.2
#: For how many seconds after a refusal others are taken to want room, too.
CONTENDED = 10.0
#: The same of those that had what they need since.
LONG_CONTENDED = 60.0

LINE = (
    "Limit %d of %d granted for %r: %s. Requests wait for these connections, and more "
    "are tried from time to time."
)


class Limited(Protocol):
    """The gate, as far as its permits are counted."""

    capacity: int
    limit: int
    #: When one permit more may be tried, by the gate's clock.
    raise_at: float
    clock: Callable[[], float]

    @property
    def lock(self) -> AbstractContextManager[object]: ...

    def limit_changed(self) -> None: ...

    def settle(self) -> None: ...


class Limit:
    """Lets *gate* give no more permits than there are connections to be had.

    Once a connect has failed while other connections were open, there are as many
    permits as connections. One more is tried at a time, after the pause that the outage
    keeps, and at once after a success: so a pool follows a server that grants less than
    its ``pool_size``, to which others leave less, or of which one node is away.

    A pool that has no connection has nothing to wait for, and is not limited: whoever
    asks learns at once that there is none. But where the server is full, others may
    make room: for that requests wait as well, for PATIENCE seconds.

    *open_connections* says how many there are.
    """

    def __init__(
        self, alias: str, gate: Limited, open_connections: Callable[[], int]
    ) -> None:
        self._alias = alias
        self._gate = gate
        self._open = open_connections
        #: Whose connects are under way, of those that may well succeed.
        self.opening: set[Any] = set()
        #: How many the server is known to grant; ``None`` if nothing else is known than
        #: that it grants all.
        self.granted: int | None = None
        # The last pause after a proxy has accepted too many; 0 if none has.
        self._late_pause = 0.0
        self._failed_at = float("-inf")
        # Since when the server has had no room for a single one, if it has none.
        self._without_since: float | None = None
        # The pause before one more is tried. It is halved with each success but the
        # first: there may have been room for one only, and others look for it as well.
        self._pause = 0.0
        self._successes = 0
        self._told: int | None = None
        self._told_at = float("-inf")

    @property
    def now_granted(self) -> int:
        """How many there can be, as far as is known."""
        return self._gate.capacity if self.granted is None else self.granted

    def others(self) -> int:
        """How many connections there are, or are about to be."""
        return self._open() + len(self.opening)

    def opened(self) -> None:
        """Note that there is one more connection."""
        gate = self._gate
        self._without_since = None
        if self.granted is None and gate.limit >= gate.capacity:
            return
        with gate.lock:
            self._grow()
        gate.settle()

    @property
    def is_contended(self) -> bool:
        """Whether the server has refused a connection lately."""
        return self._gate.clock() - self._failed_at < CONTENDED

    @property
    def was_contended(self) -> bool:
        """The same of a longer time."""
        return self._gate.clock() - self._failed_at < LONG_CONTENDED

    def leave_room(self) -> None:
        """Leave the room of a connection, just closed, to others for a moment.

        Who has fewer tries oftener than that. If nobody takes it, it is opened again,
        by whoever is first in line.
        """
        gate = self._gate
        with gate.lock:
            left = self.others()
            pause = max(ROOM_IS_LEFT, pause_beside(left))
            gate.limit = min(gate.limit, left)
            gate.raise_at = gate.clock() + pause * (1.0 + JITTER * random.random())
            gate.limit_changed()
        gate.settle()

    def failed_late(self, why: str) -> None:
        """Note that a proxy has accepted a connection for which there was no room.

        It says so at the first statement, so that each try costs a request: the pauses
        are longer.
        """
        self._late_pause = min(2 * self._late_pause or FIRST_LATE_PAUSE, LONGEST_LATE)
        self.failed(self._gate.clock() + self._late_pause, why)

    @property
    def waits_for_room(self) -> bool:
        """Whether requests wait though there is no connection."""
        since = self._without_since
        return since is not None and self._gate.clock() - since < PATIENCE

    def failed(self, retry_at: float, why: str, *, no_room: bool = False) -> None:
        """Note that a connect has failed, *why*, and is not tried before *retry_at*.

        *no_room* says whether that was because the server grants no more.
        """
        gate = self._gate
        with gate.lock:
            there = self.others()
            self._failed_at = gate.clock()
            self._pause = max(retry_at - self._failed_at, SHORTEST_PAUSE)
            self._successes = 0
            if there or not no_room:
                self._without_since = None
            elif self._without_since is None:
                self._without_since = self._failed_at
            if there or self.waits_for_room:
                self._shrink(there, retry_at)
            else:
                self._forget()
            line = self._line(why)
        gate.settle()
        if line is not None:
            logger.warning(*line)

    # Under the lock.

    def _shrink(self, there: int, retry_at: float) -> None:
        gate = self._gate
        self.granted = gate.limit = min(gate.capacity, there)
        gate.raise_at = max(retry_at, gate.clock() + SHORTEST_PAUSE)
        gate.limit_changed()

    def _grow(self) -> None:
        gate = self._gate
        there = self._open()
        if there >= gate.capacity:
            self._forget()
            return
        if self.granted is not None:
            self.granted = max(self.granted, there)
        gate.limit = max(gate.limit, there)
        pause = self._late_pause
        if not pause and self.is_contended:
            self._successes += 1
            pause = self._pause / 2 ** (self._successes - 1)
        gate.raise_at = min(gate.raise_at, gate.clock() + pause)
        gate.limit_changed()

    def _forget(self) -> None:
        gate = self._gate
        self.granted = self._told = None
        self._late_pause = 0.0
        gate.limit = gate.capacity
        gate.raise_at = float("inf")
        gate.limit_changed()

    def _line(self, why: str) -> tuple[object, ...] | None:
        """Return what to log, if it is new and no other attempt may still change it."""
        now = self._gate.clock()
        is_told = self.granted == self._told or now - self._told_at < INTERVAL
        if is_told or self.opening:
            return None
        self._told, self._told_at = self.granted, now
        return (
            LINE,
            self.granted,
            self._gate.capacity,
            self._alias,
            why,
        )
