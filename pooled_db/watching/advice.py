"""How large a pool should be, from what was measured of its use.

By Little's law the connections in use on average are how many requests come in a second
times for how long each has one. https://en.wikipedia.org/wiki/Little%27s_law
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..pool.host import Host

#: Seconds between two looks at who is at work.
PAUSE = 0.1
#: From which share of the time in use on, inside statements and transactions, and from
#: which time in use on, in seconds, it is the database that is slow.
AT_WORK = 0.8
SLOW = 0.25
#: A mean wait up to this many seconds is none.
NO_WAIT = 0.001


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool has done for *seconds* in all processes. Times are in seconds.

    ``held`` and ``waited`` are sums over all connections and all who waited,
    ``at_work`` is the share of connections in use that somebody worked with.
    """

    seconds: float
    processes: int
    limit: int
    checkouts: int
    refused: int
    held: float
    waited: float
    at_work: float

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


@dataclass(frozen=True, slots=True)
class Advice:
    """``pool_size`` for each process, and why; ``None`` if nothing can be said."""

    alias: str
    pool_size: int | None
    load: Load
    reason: str
    database_is_slow: bool = False


def measure(
    look: Callable[[], Host],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Load]:
    """Watch the pools of this host for so many *seconds*; the load of each alias."""
    began = clock()
    first = look()
    at_work: dict[str, int] = {}
    in_use: dict[str, int] = {}
    last = first
    while (left := began + seconds - clock()) > 0:
        sleep(min(PAUSE, left))
        last = look()
        for alias, now in last.totals().items():
            at_work[alias] = at_work.get(alias, 0) + now.at_work
            in_use[alias] = in_use.get(alias, 0) + now.in_use
    took = clock() - began
    before, after = first.totals(), last.totals()
    loads = {}
    for alias, stats in after.items():
        earlier = before.get(alias)
        # What is out at the end has been in use, too, and what was out at the
        # beginning only in part.
        held = stats.uses.sum + _out(last, alias)
        waits, checkouts, refused = stats.waits.sum, stats.checkouts, stats.refused
        if earlier is not None:
            held -= earlier.uses.sum + _out(first, alias)
            waits -= earlier.waits.sum
            checkouts -= earlier.checkouts
            refused -= earlier.refused
        loads[alias] = Load(
            seconds=took,
            processes=sum(alias in one.pools for one in last.processes),
            limit=stats.limit,
            checkouts=checkouts,
            refused=refused,
            held=max(0.0, held),
            waited=max(0.0, waits),
            at_work=at_work.get(alias, 0) / max(1, in_use.get(alias, 0)),
        )
    return loads


def _out(host: Host, alias: str) -> float:
    """For how long the connections that are out have been so, in sum."""
    return sum(
        held.lent or 0.0
        for process in host.processes
        for held in (process.pools[alias].loans if alias in process.pools else ())
    )


def advise(
    alias: str,
    load: Load,
    *,
    processes: int | None = None,
    hosts: int = 1,
    max_connections: int | None = None,
) -> Advice:
    """Say how large each process's pool should be for *load*.

    *processes* is how many there are on each of *hosts* hosts, if other than measured.
    """
    count = processes or load.processes or 1
    if not load.checkouts:
        return Advice(alias, None, load, "Nobody has used it while it was watched.")
    each = load.needed / count
    size = max(1, math.ceil(each - 0.05))
    rate = load.checkouts / load.seconds
    measured = (
        f"{rate:.1f} requests a second had a connection for {load.use * 1000:.0f} ms "
        f"each ({load.at_work:.0%} of it at work) and waited {load.wait * 1000:.0f} ms"
    )
    if load.refused:
        measured += f", and {load.refused / load.seconds:.1f} a second were refused"
    needed = (
        f"By Little's law they need {load.needed:.1f} connections on this host on "
        f"average, {each:.1f} in each of {count} processes"
    )
    waits = load.refused or load.wait > NO_WAIT
    if waits and load.at_work >= AT_WORK and load.use >= SLOW:
        why = (
            f"{measured}. The database is what is slow, not the pool: more connections "
            "would let more of these statements run at once and slow each down. Look "
            f"for slow queries first. {needed}, if they stay as slow as they are."
        )
        return Advice(alias, None, load, why, database_is_slow=True)
    why = f"{measured}. {needed}."
    total = size * count * hosts
    if max_connections is not None and total >= max_connections:
        why += (
            f" But {hosts} x {count} x {size} = {total} is not below the server's "
            f"max_connections, {max_connections}: raise that, or hold connections for "
            'a shorter time (pooled_db.release(), "hold": "transaction").'
        )
    elif not waits:
        why += " Nobody waits. Twice that absorbs most bursts."
    return Advice(alias, size, load, why)
