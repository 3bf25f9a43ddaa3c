"""Whether it is worth while to open a connection now."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import MySQLdb

Opened = TypeVar("Opened")

#: Seconds between two attempts: the first pause, and the longest, before jitter. The
#: longest is also about how late a server that has come back is noticed.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.4
#: The longest for the first seconds of an outage: most proxies and clusters have chosen
#: another node by then.
LONGEST_PAUSE_AT_FIRST = 0.2
AT_FIRST = 10.0
#: The longest of a pool without a connection whose server has no room: others make room
#: for a moment, to see whether somebody wants it (see limit.py).
LONGEST_PAUSE_FOR_ROOM = 0.08
#: The longest while there are connections to go on with, and so much for each of these:
#: who has fewer finds room sooner.
LONGEST_PAUSE_OF_MORE = 1.5
PAUSE_FOR_EACH = 0.12
#: For how many seconds requests of a pool without a connection wait for such room.
PATIENCE = 5.0
#: So many failures in a row are counted: the pauses have long ceased to grow, and what
#: they are told from must not become too large a number.
MOST_FAILURES = 30
#: Each pause is longer by up to this share, so that processes do not come in step.
JITTER = 0.25
#: Of how many places is known that they are away. A site may have many tenants.
MOST_DESTINATIONS = 64


def pause_beside(connections: int) -> float:
    """How long to wait for room beside so many *connections* of one's own, at most."""
    return min(connections * PAUSE_FOR_EACH, LONGEST_PAUSE_OF_MORE)


class Outage:
    """A server that refuses connections is asked by one at a time, with pauses.

    The others learn at once what the last attempt learnt. So nobody waits for a server
    that is away, and a wrong password does not get the account locked.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._error: MySQLdb.OperationalError | None = None
        self._failures = 0
        self._since = 0.0
        self._next = 0.0
        # Who makes an attempt while the last one has failed.
        self._prober: object = None

    @property
    def is_known(self) -> bool:
        """Whether the last attempt has failed."""
        return self._error is not None

    @property
    def retry_at(self) -> float:
        """When the next attempt may be made, if the last one has failed."""
        return self._next

    def may_end(self) -> None:
        """Let the next attempt be made at once: there may be room now."""
        self._next = 0.0

    def connect(
        self,
        open_connection: Callable[[], Opened],
        longest_pause: Callable[[MySQLdb.OperationalError], float | None] = (
            lambda error: None
        ),
    ) -> Opened:
        """Return what *open_connection* opens.

        Raises the driver's error: this attempt's, or during a pause the last one's. The
        pauses grow up to *longest_pause* seconds, before jitter; ``None`` for those of
        an outage.
        """
        me = object()
        try:
            known = self._learnt(me)
            if known is None:
                try:
                    connection = open_connection()
                except MySQLdb.OperationalError as error:
                    self._failed(error, longest_pause(error))
                    raise
                with self._lock:
                    self._error = None
                    self._failures = 0
                return connection
        finally:
            # Whatever has happened: an interrupt, or a mistake in the options, says
            # nothing of the server.
            if self._prober is me:
                self._prober = None
        raise type(known)(*known.args)

    def _learnt(self, me: object) -> MySQLdb.OperationalError | None:
        """What the last attempt has learnt, or `None` if *me* may make another."""
        with self._lock:
            error = self._error
            if error is None:
                return None
            if self._prober is None and self._clock() >= self._next:
                self._prober = me
                return None
            return error

    def _failed(self, error: MySQLdb.OperationalError, longest: float | None) -> None:
        with self._lock:
            now = self._clock()
            if self._error is None:
                self._since = now
            if longest is None:
                is_new = now - self._since < AT_FIRST
                longest = LONGEST_PAUSE_AT_FIRST if is_new else LONGEST_PAUSE
            pause = min(longest, FIRST_PAUSE * 2**self._failures)
            self._next = now + pause * (1.0 + JITTER * random.random())
            self._failures = min(self._failures + 1, MOST_FAILURES)
            # A copy: the traceback would keep a request's variables until the server is
            # back.
            self._error = type(error)(*error.args)


class Outages:
    """One outage for each place that connections lead to."""

    def __init__(self) -> None:
        self._of: list[tuple[object, Outage]] = []

    def of(self, destination: object) -> Outage:
        """Return that of *destination*."""
        for known, outage in list(self._of):
            if known is destination or known == destination:
                return outage
        outage = Outage()
        self._of = [*self._of[1 - MOST_DESTINATIONS :], (destination, outage)]
        return outage

    def may_end(self) -> None:
        """Let the next attempt be made at once, wherever it leads."""
        for _, outage in self._of:
            outage.may_end()
