"""Which connections a pool gives back because others have fewer of its server."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .gate import Gate
from .limit import Limit
from .store import Store

#: Where nobody sees how many the others have, each connection is given back after so
#: many seconds on average while the server refuses more.
TURN = 7.0
#: The same where all that have connections can be seen, and in a pool that has most of
#: what it may have and has met no refusal: it cannot know of others'. Most such pools
#: have a server to themselves, and pay for it.
BLIND_TURN = 60.0
#: How often to look what the others have, in seconds: while the pool itself needs all
#: that it has, and while it does not.
LOOK_EVERY = 0.5
LOOK_SELDOM = 2.5
#: For how many looks fewer must be seen than there were: some are just changing hands.
LOOKS = 3
#: For how many seconds it is remembered how many connections all who are seen had.
MEMORY = 60.0


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another pool for the same server: how many connections it has, and may have.

    It is hungry if the server has lately refused it one.
    """

    count: int
    limit: int
    is_hungry: bool


Siblings = Callable[[], Iterable[Sibling]]


def no_siblings() -> Iterable[Sibling]:
    return ()


class Share:
    """Keeps a pool to its share of what a server grants, as long as others want more.

    Of those that can be seen, *siblings*, everybody knows what the others have. Who has
    more than the average gives back what is more, at once. Nobody takes it who has
    many, since all look for room the more rarely the more they have: so in the end all
    have as many, and keep them.

    Those on other hosts cannot be seen. So connections are given back in turn as well,
    in case that somebody there has fewer: who has most loses most, and who has least
    finds the room first.
    """

    def __init__(
        self, store: Store, limit: Limit, gate: Gate, siblings: Siblings
    ) -> None:
        self._store = store
        self._limit = limit
        self._gate = gate
        self._siblings = siblings
        self._turned_at = float("-inf")
        self._totals: deque[int] = deque(maxlen=LOOKS)
        self._most = 0
        self._most_at = float("-inf")

    @property
    def is_looking(self) -> bool:
        """Whether there may be something to give back, however little there is."""
        return self._limit.is_contended

    def look(self, now: float, all_needed: bool) -> float:
        """Give back what is too much, and return when to look again.

        *all_needed* says whether the pool has needed all that it has since the last.
        """
        siblings = list(self._siblings())
        count = len(self._store.open)
        self._give_back(self._too_many(siblings))
        every = self._turn(count, siblings, now)
        if every is None or not all_needed:
            return now + LOOK_SELDOM
        since, self._turned_at = now - self._turned_at, now
        if since < 2 * TURN and count > 1:  # otherwise there was less to do meanwhile
            turns = int(count * since / every + random.random())
            self._give_back(min(turns, 1 + count // 4))
        return now + min(every / max(1, count), LOOK_EVERY if siblings else LOOK_SELDOM)

    def _turn(self, count: int, siblings: list[Sibling], now: float) -> float | None:
        """How often each connection is given back, in case somebody has fewer."""
        unseen = self._others_are_unseen(count, siblings, now)
        if self._limit.is_contended:
            return TURN if unseen else BLIND_TURN
        is_large = count * 2 > self._gate.capacity
        return BLIND_TURN if is_large or self._limit.was_contended else None

    def _too_many(self, siblings: list[Sibling]) -> int:
        """How many more there are than others have who want more.

        Who has more than the average gives the rest back. If that is not enough, some
        of those who have most give one: as many as are needed, whoever that is.
        """
        count = len(self._store.open)
        wanting = [one for one in siblings if one.is_hungry or one.count >= one.limit]
        counts = [count, *(one.count for one in wanting)]
        average = sum(counts) / len(counts)
        enough, most = math.floor(average), math.ceil(average)
        lacking = sum(max(0, enough - one.count) for one in wanting if one.is_hungry)
        too_many = max(0, count - most)
        if not lacking:
            wanted = any(one.is_hungry and one.count < most for one in wanting)
            return too_many if wanted and too_many else self._last_for(siblings)
        surplus = sum(max(0, one - most) for one in counts)
        if count > enough:
            could_give = sum(one > enough for one in counts)
            too_many += random.random() < (lacking - surplus) / could_give
        return too_many

    def _last_for(self, siblings: list[Sibling]) -> int:
        """Whether to give the last one back, which nobody needs, for who has none."""
        without = sum(one.is_hungry and not one.count for one in siblings)
        if self._gate.waiting:
            return 0
        may_give = 1 + sum(one.count == 1 for one in siblings)
        return int(random.random() < without / may_give)

    def _others_are_unseen(
        self, count: int, siblings: list[Sibling], now: float
    ) -> bool:
        """Whether somebody has connections who is not seen.

        All who are seen have had more then, and for some looks have not had as many.
        """
        total = count + sum(one.count for one in siblings)
        self._totals.append(total)
        if total >= self._most or now - self._most_at > MEMORY:
            self._most, self._most_at = total, now
        return not siblings or max(self._totals) < self._most

    def _give_back(self, number: int) -> None:
        closed = self._store.close_some_parked(number)
        if closed:
            self._limit.leave_room()
        connections = [one for one in list(self._store.open) if not one.makes_room]
        marked = min(number - closed, len(connections))
        for connection in random.sample(connections, marked):
            connection.closed_for = "shared"
            connection.makes_room = connection.is_doubtful = True
