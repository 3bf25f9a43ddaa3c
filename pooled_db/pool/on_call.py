"""Which loans are called back, for whom, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

from .cleaners import is_on_event_loop, off_the_loop
from .loan import Loan
from .permit import LENT, Permit
from .stall import last_in_vain

#: For how many seconds a loan has rested at least: its holder may be just about to use
#: it. A shorter one takes connections from threads that have only lost the interpreter.
MOMENT = 0.002
#: The same for one that its request has not used yet. On a busy event loop some turns
#: pass before it does, and whoever is let in instead needs a thread, too.
MOMENT_UNUSED = 0.2
#: Seconds between two looks while nobody rests.
PAUSE = 0.01

#: From when on a loan may be called back, on the gate's clock, and the loan.
Ripe = tuple[float, Loan]


class OnCall:
    """What nobody works with is on call: it is taken back when somebody waits.

    These are the loans outside of requests, those that their requests have not used
    yet, and those of requests that are waiting for their client to send more; with
    transaction pooling all. Besides, when *every* loan rests while somebody outside of
    requests waits, those of requests are taken, too: their requests may be waiting for
    that very thread, such as an executor's.
    """

    def __init__(
        self,
        called_back: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._called_back = called_back
        self._clock = clock

    def call_back(
        self, held: Iterable[Permit], waiters: Iterable[Permit], into: list[Permit]
    ) -> float:
        """Put into *into* those that have rested for longest, one for each waiter.

        Returns when to look again.
        """
        now = self._clock()
        on_call, resting, at_work = _look_at(held, now)
        if at_work or on_call:
            # No more than there is to give: thousands may wait.
            wanted = sum(1 for _ in islice(waiters, len(on_call)))
        else:
            line = list(waiters)
            wanted = len(line)
            if any(map(_is_outsider, line)):
                on_call = [entry for entry in resting if entry[1].may_be_missed]
        on_call.sort(key=_ripe_at)
        look_at = now + (MOMENT if on_call else PAUSE)
        for ripe_at, loan in on_call:
            if len(into) == wanted:
                break
            if ripe_at > now:
                look_at = min(ripe_at, now + PAUSE)
                break
            if loan.call_back():
                into.append(loan)
                self._called_back()
        return look_at

    def hand_in(self, called: list[Permit]) -> None:
        """Give them back, all of them even if one fails."""
        while called:
            permit = called[-1]
            try:
                assert isinstance(permit, Loan)
                if is_on_event_loop() and permit.needs_io():
                    off_the_loop(permit.checkin)
                else:
                    permit.checkin()
                called.pop()
            except BaseException:
                self.hand_in(called)
                raise

    def in_vain(self, line: Iterable[Permit]) -> Permit | None:
        """Who of *line* is to give up: all that it could get is held by who waits."""
        return last_in_vain(line, self._clock())


def _look_at(held: Iterable[Permit], now: float) -> tuple[list[Ripe], list[Ripe], bool]:
    """Tell what is on call, what rests besides, and whether anything is at work."""
    on_call: list[Ripe] = []
    resting: list[Ripe] = []
    at_work = False
    for loan in held:
        if not isinstance(loan, Loan) or (since := loan.resting_since()) is None:
            at_work = True
            continue
        if loan.line and since + MOMENT <= now:
            # Who had the last turn has not used it.
            loan.pass_turn_locked()
            continue
        receiving = loan.receiving_since
        moment = MOMENT
        if receiving is not None:
            since = max(since, receiving)
        elif loan.state is not LENT:
            moment = MOMENT_UNUSED
        (on_call if loan.is_on_call else resting).append((since + moment, loan))
    return on_call, resting, at_work


def _ripe_at(entry: Ripe) -> float:
    return entry[0]


def _is_outsider(permit: Permit) -> bool:
    return permit.requester is None
