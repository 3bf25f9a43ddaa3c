"""Where a pool counts: words at fixed places, in memory of its own or in a file.

They are changed by one instruction each, in which no other thread of CPython gets its
turn, so counting needs no lock.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from typing import Final

from ..driver.slot import (
    AT_WORK,
    CONNECTION,
    NO_NUMBER,
    OPENED_AT,
    RESTED,
    SINCE,
    TRANSACTION,
    Slot,
)
from ..driver.slot import SIZE as SLOT_SIZE
from ..exceptions import Reason
from .stats import BOUNDS, Histogram, PoolStats

#: What connections are closed for.
CLOSED_FOR = (
    "recycled",  # older than `recycle`
    "dead",  # the server had closed it, or it was lost in use
    "dirty",  # its session was changed, and could not be made as new
    "doubtful",  # nobody knew in what state it was
    "overflow",  # more than `pool_size`
    "moved",  # the settings lead elsewhere
    "discarded",  # its user was done with it in a way that spoils it
    "idle",  # not needed for `max_idle`
    "shared",  # for a moment, in case that other processes want its room
    "disposed",  # with its pool
)

_BUCKETS = (*map(str, BOUNDS), "inf")

#: The whole numbers that a pool keeps, by place, and the times after them.
WORDS: Final = (
    *("limit", "granted", "waiting", "overloaded", "peak"),
    *("opened", "resets", "called_back"),
    *(f"refused.{reason.value}" for reason in Reason),
    *(f"closed.{what}" for what in CLOSED_FOR),
    *(f"{what}.{le}" for what in ("waits", "uses", "connects") for le in _BUCKETS),
)
TIMES: Final = ("oldest", "waits.sum", "uses.sum", "connects.sum", "no_room")
#: What is true of one moment only; everything else never becomes less.
GAUGES: Final = frozenset(
    {"limit", "granted", "waiting", "overloaded", "peak", "oldest", "no_room"}
)

_PLACES = {name: place for place, name in enumerate((*WORDS, *TIMES))}
LIMIT, GRANTED, WAITING, OVERLOADED, PEAK, OPENED, RESETS, CALLED_BACK = range(8)
WAITS: Final = _PLACES[f"waits.{_BUCKETS[0]}"]
USES: Final = _PLACES[f"uses.{_BUCKETS[0]}"]
CONNECTS: Final = _PLACES[f"connects.{_BUCKETS[0]}"]
OLDEST: Final = _PLACES["oldest"]
WAITED: Final = _PLACES["waits.sum"]
USED: Final = _PLACES["uses.sum"]
CONNECTED: Final = _PLACES["connects.sum"]
NO_ROOM: Final = _PLACES["no_room"]
SIZE: Final = len(_PLACES)
#: What they take in bytes, before the slots.
_LENGTH: Final = 8 * SIZE


class Numbers:
    """The numbers of one pool, in *memory*, with a slot for each of its connections.

    Without *memory* they are seen by this process alone, and there are no slots.
    """

    __slots__ = ("file", "free", "memory", "slots", "times", "words")

    def __init__(
        self, memory: memoryview | None = None, slots: int = 0, file: str | None = None
    ) -> None:
        #: The name of the file, if others can read it.
        self.file = file
        self.memory = memoryview(bytearray(_LENGTH)) if memory is None else memory
        numbers = self.memory[:_LENGTH]
        #: The whole numbers by the places above, and the times, in seconds.
        self.words: memoryview[int] = numbers.cast("q")
        self.times: memoryview[float] = numbers.cast("d")
        size = 8 * SLOT_SIZE
        self.slots: list[Slot] = [
            Slot(self.memory[start : start + size])
            for start in range(_LENGTH, _LENGTH + size * slots, size)
        ]
        #: The slots of no connection.
        self.free: deque[Slot] = deque(self.slots)

    def leave(self) -> None:
        """Count from 0 and in other memory from now on: a forked child's, say.

        Whoever is just counting ends in the old one.
        """
        self.__init__()  # type: ignore[misc]

    # What each request pays for: nothing is called here but C.

    def lent(self, waited: float, since: float, slot: Slot | None) -> None:
        """Count a connection that is lent after *waited* seconds in line."""
        words = self.words
        if waited:
            bucket = bisect_left(BOUNDS, waited)
            words[WAITS + bucket] += 1
            self.times[WAITED] += waited
        else:
            words[WAITS] += 1
        if slot is not None:
            # Nobody has used it yet; what the last one left open is cleaned.
            slot.text[0] = 0
            slot.words[AT_WORK] = slot.words[TRANSACTION] = 0
            slot.times[SINCE] = since

    def given_back(self, used: float, slot: Slot | None) -> None:
        """Count a connection that was lent for *used* seconds."""
        bucket = bisect_left(BOUNDS, used)
        self.words[USES + bucket] += 1
        self.times[USED] += used
        if slot is not None:
            slot.times[SINCE] = 0.0

    # What happens less often.

    def were_lent(self, at_once: int) -> None:
        """Note how many are lent at this moment."""
        # No call in between, during which another thread could note more.
        if at_once > self.words[PEAK]:
            self.words[PEAK] = at_once

    @property
    def checkouts(self) -> int:
        """How many connections have been lent so far."""
        return sum(self.words[WAITS : WAITS + len(_BUCKETS)])

    @property
    def refusals(self) -> int:
        """How many have been refused so far."""
        return sum(self.words[place] for place in _REFUSED.values())

    def line_is(self, waiting: int, oldest: float, overloaded: bool) -> None:
        """Note who stands in line, with the gate's lock held."""
        self.words[WAITING] = waiting
        self.words[OVERLOADED] = overloaded
        self.times[OLDEST] = oldest

    def granted(self, connections: int) -> None:
        """Note how many connections the server grants."""
        self.words[GRANTED] = connections

    def connected(self, seconds: float) -> None:
        self.words[OPENED] += 1
        self.words[CONNECTS + bisect_left(BOUNDS, seconds)] += 1
        self.times[CONNECTED] += seconds

    def refused(self, reason: Reason) -> None:
        self.words[_REFUSED[reason]] += 1

    def closed(self, what_for: str) -> None:
        self.words[_PLACES[f"closed.{what_for}"]] += 1

    def had_no_room(self, now: float) -> None:
        """Note that the server has granted no more *now*, on the monotonic clock."""
        self.times[NO_ROOM] = now

    def was_reset(self) -> None:
        self.words[RESETS] += 1

    def was_called_back(self) -> None:
        self.words[CALLED_BACK] += 1

    def read(self) -> dict[str, float]:
        """All of them, by name."""
        return by_name(self.words, self.times)

    def occupy(self, connection_id: int) -> Slot | None:
        """Give a connection a slot, if there is one left.

        *connection_id* is its number on the server, 0 if it has none.
        """
        try:
            slot = self.free.popleft()
        except IndexError:
            return None
        slot.times[SINCE] = slot.times[RESTED] = 0.0
        slot.times[OPENED_AT] = time.monotonic()
        slot.words[CONNECTION] = connection_id or NO_NUMBER
        return slot

    def vacate(self, slot: Slot) -> None:
        """Take the slot of a connection that is closed back."""
        slot.words[CONNECTION] = 0
        slot.times[SINCE] = 0.0
        self.free.append(slot)


_REFUSED = {reason: _PLACES[f"refused.{reason.value}"] for reason in Reason}


def by_name(words: memoryview[int], times: memoryview[float]) -> dict[str, float]:
    """Put names to the words of this version."""
    return dict(
        zip(
            (*WORDS, *TIMES), (*words[: len(WORDS)], *times[len(WORDS) :]), strict=False
        )
    )


def to_stats(numbers: Mapping[str, float], **now: int | float | bool) -> PoolStats:
    """Make of *numbers*, by name, what a pool tells; *now* is true of this moment."""
    refused = {
        reason.value: int(numbers.get(f"refused.{reason.value}", 0))
        for reason in Reason
    }
    waits = _histogram(numbers, "waits")
    return PoolStats(
        **{
            "limit": int(numbers.get("limit", 0)),
            "granted": int(numbers.get("granted", 0)),
            "peak": int(numbers.get("peak", 0)),
            **now,
        },  # type: ignore[arg-type]
        opened=int(numbers.get("opened", 0)),
        checkouts=waits.count,
        resets=int(numbers.get("resets", 0)),
        called_back=int(numbers.get("called_back", 0)),
        refused=sum(refused.values()),
        refused_by=refused,
        closed={what: int(numbers.get(f"closed.{what}", 0)) for what in CLOSED_FOR},
        waits=waits,
        uses=_histogram(numbers, "uses"),
        connects=_histogram(numbers, "connects"),
    )


def _histogram(numbers: Mapping[str, float], what: str) -> Histogram:
    return Histogram(
        tuple(int(numbers.get(f"{what}.{le}", 0)) for le in _BUCKETS),
        numbers.get(f"{what}.sum", 0.0),
    )
