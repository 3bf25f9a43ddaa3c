"""What the pools of this host have to do, measured for some seconds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..exceptions import Reason
from ..pool.host import Host
from ..pool.stats import PoolStats

#: Seconds between two looks at who is at work, and between two questions to the server
#: what it does for them.
PAUSE = 0.1
ASK_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool has done for *seconds* in all processes. Times are in seconds.

    ``held`` and ``waited`` are sums over all connections and all who waited,
    ``refused`` counts those who would have had one from a larger pool, ``at_work`` is
    the share of connections in use that somebody worked with, and ``busy`` the share of
    these whose statement did more than sleep; ``None`` if the server has not said so.
    """

    seconds: float
    processes: int
    limit: int
    checkouts: int
    refused: int
    held: float
    waited: float
    at_work: float
    busy: float | None = None

    @property
    def use(self) -> float:
        """For how long each had a connection, on average."""
        return self.held / self.checkouts if self.checkouts else 0.0

    @property
    def wait(self) -> float:
        """For how long each waited, on average."""
        return self.waited / self.checkouts if self.checkouts else 0.0

    @property
    def needed(self) -> float:
        """How many connections all processes need on average so that nobody waits.

        Whoever was refused would have needed one for as long as the others. Where
        nobody was, those who waited are those who would have had one.
        """
        if self.refused:
            return (self.checkouts + self.refused) * self.use / self.seconds
        return (self.held + self.waited) / self.seconds


#: Tells which connections of an alias the server does something for; ``None`` if it
#: cannot be asked.
Ask = Callable[[str], "frozenset[int] | None"]


class _Seen:
    """What was seen of an alias, added up over all looks."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def look(self, stats: PoolStats) -> None:
        self.counts["at work"] += stats.at_work
        self.counts["in use"] += stats.in_use

    def ask(self, at_work: set[int], busy: frozenset[int]) -> None:
        self.counts["asked"] += len(at_work)
        self.counts["busy"] += len(at_work & busy)

    def share(self, part: str, whole: str) -> float | None:
        return self.counts[part] / self.counts[whole] if self.counts[whole] else None


def measure(
    look: Callable[[], Host],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    ask: Ask | None = None,
) -> dict[str, Load]:
    """Watch the pools of this host for so many *seconds*; the load of each alias."""
    began = asked = clock()
    first = last = look()
    seen: dict[str, _Seen] = {}
    while (left := began + seconds - (now := clock())) > 0:
        sleep(min(PAUSE, left))
        last = look()
        asking = ask if now - asked >= ASK_PAUSE else None
        for alias, stats in last.totals().items():
            one = seen.setdefault(alias, _Seen())
            one.look(stats)
            busy = asking(alias) if asking is not None and stats.at_work else None
            if busy is not None:
                one.ask(_at_work(last, alias), busy)
        if asking is not None:
            asked = now
    took = clock() - began
    before = first.totals()
    return {
        alias: _load(alias, first, last, before.get(alias), stats, seen, took)
        for alias, stats in last.totals().items()
    }


def _load(
    alias: str,
    first: Host,
    last: Host,
    before: PoolStats | None,
    after: PoolStats,
    seen: dict[str, _Seen],
    took: float,
) -> Load:
    """What has been added between two looks."""
    earlier = before or PoolStats()
    one = seen.get(alias, _Seen())
    # What is out at the end has been in use, too, and what was out at the beginning
    # only in part.
    held = after.uses.sum + _out(last, alias)
    held -= earlier.uses.sum + _out(first, alias)
    return Load(
        seconds=took,
        processes=sum(alias in process.pools for process in last.processes),
        limit=after.limit,
        checkouts=after.checkouts - earlier.checkouts,
        refused=_turned_away(after) - _turned_away(earlier),
        held=max(0.0, held),
        waited=max(0.0, after.waits.sum - earlier.waits.sum),
        at_work=one.share("at work", "in use") or 0.0,
        busy=one.share("busy", "asked"),
    )


def _turned_away(stats: PoolStats) -> int:
    """How many would have had a connection of a larger pool.

    Not those for whom there was no server, nor those who lost the one they had.
    """
    return stats.refused - sum(
        stats.refused_by.get(reason, 0)
        for reason in (Reason.UNAVAILABLE, Reason.CONNECTION_LOST)
    )


def _at_work(host: Host, alias: str) -> set[int]:
    return {
        held.connection_id
        for process in host.processes
        if alias in process.pools
        for held in process.pools[alias].loans
        if held.state == "at work" and held.connection_id
    }


def _out(host: Host, alias: str) -> float:
    """For how long the connections that are out have been so, in sum."""
    return sum(
        held.lent or 0.0
        for process in host.processes
        for held in (process.pools[alias].loans if alias in process.pools else ())
    )
