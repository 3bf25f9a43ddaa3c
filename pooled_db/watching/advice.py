"""How large a pool should be, from what was measured of its use.

By Little's law the connections in use on average are how many requests come in a second
times for how long each has one. https://en.wikipedia.org/wiki/Little%27s_law
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .load import Load

#: The database is what is slow from these on: the share of the time in use that is
#: spent in statements and transactions, that time in seconds, and the share of those at
#: work for whom the server does something.
AT_WORK = 0.8
SLOW = 0.25
BUSY = 0.5
#: A mean wait up to this many seconds is none.
NO_WAIT = 0.001
#: By how much of a connection less than needed is still enough.
ROUNDING = 0.05
_BURSTS = "Twice that absorbs most bursts."
_WAITS = (
    ", and the server does nothing for them meanwhile: a view that calls another "
    "service in a transaction, say, or a statement that sleeps."
)


@dataclass(frozen=True, slots=True)
class Advice:
    """``pool_size`` for each process, and why; ``None`` if nothing can be said."""

    alias: str
    pool_size: int | None
    load: Load
    reason: str
    database_is_slow: bool = False


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
        return Advice(alias, None, load, _nothing_lent(load))
    each = load.needed / count
    needed = (
        f"By Little's law they need {load.needed:.1f} connections on this host on "
        f"average, {each:.1f} in each of {count} processes"
    )
    waits = bool(load.refused) or load.wait > NO_WAIT
    long = waits and load.at_work >= AT_WORK and load.use >= SLOW
    if long and (load.busy or 0.0) >= BUSY:
        why = (
            f"{_measured(load)}. The database is what is slow, not the pool: more "
            "connections would let more of these statements run at once and slow each "
            f"down. Look for slow queries first. {needed}, if they stay as slow as "
            "they are."
        )
        return Advice(alias, None, load, why, database_is_slow=True)
    size = max(1, math.ceil(each - ROUNDING))
    why = f"{_measured(load)}. {needed}."
    total = size * count * hosts
    if max_connections is not None and total >= max_connections:
        why += (
            f" But {hosts} x {count} x {size} = {total} is not below the server's "
            f"max_connections, {max_connections}: raise that, or hold connections for "
            'a shorter time (pooled_db.release(), "hold": "transaction").'
        )
    elif not waits:
        why += f" Nobody waits. {_BURSTS}"
    elif size * count <= load.limit:
        why += f" There are {load.limit} already, so it is bursts that wait. {_BURSTS}"
    return Advice(alias, size, load, why + _reservations(load, long))


def _measured(load: Load) -> str:
    measured = (
        f"{load.checkouts / load.seconds:.1f} requests a second had a connection for "
        f"{load.use * 1000:.0f} ms each ({load.at_work:.0%} of it at work) and waited "
        f"{load.wait * 1000:.0f} ms"
    )
    if load.refused:
        measured += f", and {load.refused / load.seconds:.1f} a second were refused"
    return measured


def _reservations(load: Load, long: bool) -> str:
    """What to know besides; *long* is whether connections are held for long at work."""
    why = ""
    if load.refused:
        why += " Whoever was refused and came again is counted each time."
    if long:
        why += (
            " Nearly all of that time is spent in statements and transactions"
            + ("." if load.busy is None else _WAITS)
            + " Half that time, and half as many are enough."
        )
    return why


def _nothing_lent(load: Load) -> str:
    if not load.held:
        return "Nobody has used it while it was watched."
    return (
        "Nobody got a connection while it was watched: "
        f"{load.held / load.seconds:.1f} of {load.limit} were held all the time "
        f"({load.at_work:.0%} of it at work). See who holds them: manage.py pools."
    )
