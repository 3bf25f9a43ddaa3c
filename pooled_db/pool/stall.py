"""Whether a thread waits for what cannot come."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Sequence

from .gate import Gate
from .loan import Loan
from .permit import LENT, WAITING, Permit

#: For how many seconds nobody has used a loan, if it counts as held by who waits in
#: another thread: its own may not be waiting for that one, and just about to go on.
STANDSTILL = 0.5
#: In which modules a thread is that waits for others.
WAITING_MODULES = ("threading", "concurrent.futures.thread")
#: Which loan a thread that holds others waits for, by the thread's identifier. Threads
#: come and go during a look: list(items()) may collect garbage up to Python 3.11, and
#: so let them run; copy() does not.
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
        _waiting.pop(thread, None)  # a look may just have taken it out


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

    That is the last to come, of those whose requests hold something; or of those who
    are of no request. *line* is of one gate, and *now* on its clock.
    """
    loans = [loan for loan in line if isinstance(loan, Loan)]
    if not loans:
        return None
    gate = loans[0].pool.gate
    with _lock:
        if not _is_closed(gate, [], now):
            return None
        holders = {held.requester for held in gate.held()} - {None}
        last = max(
            [loan for loan in loans if loan.requester in holders]
            or [loan for loan in loans if loan.requester is None],
            key=_arrived,
            default=None,
        )
        for thread, loan in _waiting.copy().items():
            if loan is last:
                _waiting.pop(thread, None)  # as above
        return last


def _arrived(loan: Loan) -> float:
    return loan.arrived


def _is_closed(gate: Gate, seen: Sequence[Gate], now: float) -> bool:
    if gate in seen:
        return True
    if gate.free > 0:
        return False
    seen = [*seen, gate]
    strangers: int | None = None
    for held in gate.held():
        if not isinstance(held, Loan) or held.state is not LENT:
            return False
        rests = held.resting_since() is not None
        if rests and held.is_on_call:
            return False
        if _waits(held, seen, now):
            continue
        if strangers is None:
            strangers = _count_strangers(gate, now)
        if rests or not strangers or not _stands_still(held, (), now):
            return False
        strangers -= 1
    return True


def _waits(held: Loan, seen: Sequence[Gate], now: float) -> bool:
    """Whether who has *held* waits in vain, here or most likely in another thread."""
    mine = _waiting.get(held.user)
    # An executor's thread may have gone on to another request.
    if mine is not None and mine.requester is held.requester and mine.state is WAITING:
        return _is_closed(mine.pool.gate, seen, now)
    if held.requester is None:
        return False
    others = [
        loan
        for loan in _waiting.copy().values()
        if loan.requester is held.requester and loan.state is WAITING
    ]
    return (
        bool(others)
        and _stands_still(held, others, now)
        and all(_is_closed(loan.pool.gate, seen, now) for loan in others)
    )


def _count_strangers(gate: Gate, now: float) -> int:
    """How many wait at *gate* in threads of which nobody knows who waits for them.

    An executor's thread does not know for which request it works.
    """
    users = {held.user for held in gate.held() if isinstance(held, Loan)}
    return sum(
        loan.requester is None
        and loan.pool.gate is gate
        and loan.state is WAITING
        and thread not in users
        and now - loan.arrived >= STANDSTILL
        for thread, loan in _waiting.copy().items()
    )


def _stands_still(held: Loan, others: Iterable[Loan], now: float) -> bool:
    """Whether its thread most likely waits for another, such as for those *others*."""
    connection = held.connection
    if connection is None or connection.in_statement or held.pins:
        return False
    since = max(held.since, connection.rested, *map(_arrived, others))
    return now - since >= STANDSTILL and not _goes_on_by_itself(held.user)


def _goes_on_by_itself(thread: int | None) -> bool:
    """Whether it computes, sleeps or waits for another server.

    It does not if it is in Thread.join(), Future.result() or the like, nor if it is an
    executor's that has nothing to do.
    """
    frame = sys._current_frames().get(thread)  # type: ignore[arg-type]
    return frame is not None and frame.f_globals.get("__name__") not in WAITING_MODULES


def after_fork() -> None:
    """Start with a lock that no thread of the parent holds, and with nobody waiting."""
    global _lock
    _lock = threading.Lock()
    _waiting.clear()
