"""Whether a thread waits for what cannot come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

from .gate import Gate
from .loan import Loan
from .permit import LENT, WAITING, Permit

#: For how many seconds nobody has used a loan, if it counts as held by who waits in
#: another thread: its own may not be waiting for that one, and just about to go on.
STANDSTILL = 0.5
#: Which loan a thread that holds others waits for, by the thread's identifier.
_waiting: dict[int | None, Loan] = {}
#: So that of two who begin to wait at once one sees the other.
_lock = threading.Lock()


def begin_waiting(loan: Loan) -> None:
    """Note that this thread, which may hold other loans, waits for *loan*."""
    _waiting[threading.get_ident()] = loan


def end_waiting(loan: Loan) -> None:
    """Note that it waits no more, if it did."""
    thread = threading.get_ident()
    if _waiting.get(thread) is loan:
        del _waiting[thread]


def is_stalled(loan: Loan) -> bool:
    """Whether every connection that *loan* could get is held by somebody who waits.

    Of those who wait for each other the last to come is the one to see it.
    """
    with _lock:
        stalled = _is_closed(loan.pool.gate, [], time.monotonic())
        if stalled:
            # It gives up: whoever looks next need not.
            end_waiting(loan)
        return stalled


def last_in_vain(line: Iterable[Permit], now: float) -> Loan | None:
    """Who of *line* is to give up, if all it waits for is held by those who wait.

    That is the last to come, of those whose requests hold something. *line* is of one
    gate, and *now* on its clock.
    """
    loans = [one for one in line if isinstance(one, Loan) and one.requester is not None]
    if not loans:
        return None
    gate = loans[0].pool.gate
    with _lock:
        if not _is_closed(gate, [], now):
            return None
        holders = {held.requester for held in gate.held()}
        of_holders = [loan for loan in loans if loan.requester in holders]
        last = max(of_holders, key=_arrived, default=None)
        for thread, loan in list(_waiting.items()):
            if loan is last:
                del _waiting[thread]  # as above
        return last


def _arrived(loan: Loan) -> float:
    return loan.arrived


def _is_closed(gate: Gate, seen: Sequence[Gate], now: float) -> bool:
    if gate in seen:
        return True
    if gate.count() < gate.limit:
        return False
    return all(_is_stuck(held, [*seen, gate], now) for held in gate.held())


def _is_stuck(held: Permit, seen: Sequence[Gate], now: float) -> bool:
    if not isinstance(held, Loan) or held.state is not LENT:
        return False
    if held.is_on_call and held.resting_since() is not None:
        return False
    mine = _waiting.get(held.user)
    # An executor's thread may have gone on to another request.
    if mine is not None and mine.requester is held.requester and _waits(mine):
        return _is_closed(mine.pool.gate, seen, now)
    if held.requester is None:
        return False
    others = [
        loan
        for loan in list(_waiting.values())
        if loan.requester is held.requester and _waits(loan)
    ]
    return (
        bool(others)
        and _stands_still(held, others, now)
        and all(_is_closed(loan.pool.gate, seen, now) for loan in others)
    )


def _waits(loan: Loan) -> bool:
    return loan.state is WAITING


def _stands_still(held: Loan, others: Iterable[Loan], now: float) -> bool:
    """Whether its thread most likely waits for those *others* of its request."""
    connection = held.connection
    if connection is None or connection.in_statement or held.pins:
        return False
    since = max(held.since, connection.rested, *map(_arrived, others))
    return now - since >= STANDSTILL


def after_fork() -> None:
    """Start with a lock that no thread of the parent holds, and with nobody waiting."""
    global _lock
    _lock = threading.Lock()
    _waiting.clear()
