"""Which connections a pool gives up, so that other processes have room."""

from __future__ import annotations

import random

from .share import TURN, Share
from .store import Store

#: Connections that a pool keeps though nobody has asked for long.
LEAST = 1
#: An idle connection is closed up to so many seconds late, and no look comes sooner
#: after another: so processes that went idle together do not close in step.
LATE = 0.9
SOONEST = 0.5


class Surplus:
    """Closes idle connections of *store* that were not needed for *max_idle* seconds.

    At each look all idle connections are parked out of the queue. Whoever needs one
    gets the one that was used last; what is still there when it has rested for
    *max_idle* was not needed. So nothing is counted when a connection is lent.

    What others need more is *share*'s to give back.
    """

    def __init__(self, store: Store, share: Share, max_idle: float | None) -> None:
        self._store = store
        self._share = share
        self._max_idle = max_idle

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
        # What was parked the last time and is so still, nobody has needed meanwhile.
        all_needed = self._store.parked_since() is None
        self._store.park_idle()
        self._store.close_parked(now - self._max_idle, LEAST)
        looks = [now + self._max_idle]
        since = self._store.parked_since()
        if since is not None:
            looks.append(since + self._max_idle)
        if len(self._store.open) <= LEAST and not self._share.is_looking:
            # Nothing is to be closed before another is opened, and watched.
            return None
        looks.append(self._share.look(now, all_needed))
        return max(min(looks), now + SOONEST) + LATE * random.random() / 2
