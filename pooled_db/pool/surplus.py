"""Which connections a pool gives up, so that other processes have room."""

from __future__ import annotations

import random

from .gate import Gate
from .limit import Limit
from .store import Store

#: Connections that a pool keeps though nobody has asked for long.
LEAST = 1
#: An idle connection is closed up to so many seconds late, and no look comes sooner
#: after another: so processes that went idle together do not close in step.
LATE = 0.9
SOONEST = 0.5
#: While the server refuses connections, each one is closed for a moment after so many
#: seconds on average, so that processes that have few get some.
TURN = 5.0
#: The same in a pool that is full and has met no refusal: it cannot know of others'.
BLIND_TURN = 30.0


class Surplus:
    """Closes idle connections of *store* that were not needed for *max_idle* seconds.

    At each look all idle connections are parked out of the queue. Whoever needs one
    gets the one that was used last; what is still there when it has rested for
    *max_idle* was not needed. So nothing is counted when a connection is lent.

    Several processes that want more connections than their server has end with equal
    shares: each closes connections in turn, as many as it has, and each is as likely as
    the others to get the room. A pool that is served in full does so more rarely, since
    it cannot know that others are refused.
    """

    def __init__(
        self, store: Store, limit: Limit, gate: Gate, max_idle: float | None
    ) -> None:
        self._store = store
        self._limit = limit
        self._gate = gate
        self._max_idle = max_idle
        self._turned_at = float("-inf")

    @property
    def is_watched(self) -> bool:
        """Whether anything is to be closed at all."""
        return self._max_idle is not None

    def first_look(self, now: float) -> float:
        """When to look after a connection was opened at *now*."""
        assert self._max_idle is not None
        return now + min(self._max_idle, TURN / 4)

    def look_after(self, now: float) -> float | None:
        """Close what is to be closed, and return when to look again."""
        assert self._max_idle is not None
        if not self._store.open:
            return None
        self._store.park_idle()
        self._store.close_parked(now - self._max_idle, LEAST)
        looks = [now + self._max_idle]
        since = self._store.parked_since()
        if since is not None:
            looks.append(since + self._max_idle)
        if len(self._store.open) <= LEAST:
            # Nothing is to be closed before another is opened, and watched.
            return None
        # All were in use, or somebody waits: others may have as much to do.
        is_wanted = since is None or self._gate.waiting > 0
        looks.append(self._take_turns(now) if is_wanted else now + TURN / 2)
        return max(min(looks), now + SOONEST) + LATE * random.random() / 2

    def _take_turns(self, now: float) -> float:
        """Make room for a moment where it is time; return when it will be again."""
        every = TURN if self._limit.is_contended else BLIND_TURN
        count = len(self._store.open)
        since, self._turned_at = now - self._turned_at, now
        if since < 2 * TURN:  # otherwise there was less to do meanwhile
            turns = int(count * since / every + random.random())
            for _ in range(min(turns, 1 + count // 4)):
                self._make_room()
        return now + every / count

    def _make_room(self) -> None:
        connection = random.choice(list(self._store.open))
        connection.closed_for = "shared"
        connection.makes_room = connection.is_doubtful = True
