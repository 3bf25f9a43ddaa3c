"""Whether a thread waits for what cannot come."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from .gate import Gate
from .loan import Loan
from .permit import LENT, WAITING, Permit

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
    """Whether every connection that *loan* could get is held by a thread that waits.

    Of those who wait for each other the last to come is the one to see it.
    """
    with _lock:
        stalled = _is_closed(loan.pool.gate, [])
        if stalled:
            # It gives up: whoever looks next need not.
            end_waiting(loan)
        return stalled


def _is_closed(gate: Gate, seen: list[Gate]) -> bool:
    if gate in seen:
        return True
    if gate.free > 0:
        return False
    return all(_is_stuck(held, [*seen, gate]) for held in gate.held())


def _is_stuck(held: Permit, seen: Sequence[Gate]) -> bool:
    if not isinstance(held, Loan) or held.state is not LENT:
        return False
    if held.is_on_call and held.resting_since() is not None:
        return False
    waits_for = _waiting.get(held.user)
    if waits_for is None or waits_for.state is not WAITING:
        return False
    if waits_for.requester is not held.requester:
        # An executor's thread, which has gone on to another request.
        return False
    return _is_closed(waits_for.pool.gate, list(seen))


def after_fork() -> None:
    """Start with a lock that no thread of the parent holds, and with nobody waiting."""
    global _lock
    _lock = threading.Lock()
    _waiting.clear()
