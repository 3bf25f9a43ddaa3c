"""Who holds the connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from ..driver.slot import on_one_line
from ..exceptions import Holder
from .loan import Loan
from .origin import describe
from .permit import TAKING, Permit
from .sharing import Shared

#: How many of the others a refusal names.
NAMED = 3
#: For how many seconds newcomers are told the same of the holders: they come by
#: thousands, and a look at all loans is a tenth of what a refusal at the door costs.
FRESH = 0.1

Described = tuple[tuple[Holder, ...], tuple[Holder, ...]]


class Holders:
    """Describes who has the permits that *held* returns.

    That is who has a connection, and who waits for one to be opened.
    """

    def __init__(self, held: Callable[[], Iterable[Permit]]) -> None:
        self._held = held
        self._looked = float("-inf")
        self._seen: Described = (), ()

    def described_for(self, asking: Shared) -> Described:
        """Say what whoever asks holds already, and who has held others for longest."""
        now = time.monotonic()
        # One that waits for its turn has a connection, though it may not have begun.
        holds_nothing = not asking.begun and asking.connection is None
        if holds_nothing and now - self._looked < FRESH:
            return self._seen
        seen = self._look(asking, now)
        if holds_nothing:
            self._looked, self._seen = now, seen
        return seen

    def _look(self, asking: Shared, now: float) -> Described:
        here = threading.get_ident()
        own: list[Loan] = []
        others: list[Loan] = []
        for loan in self._held():
            if not isinstance(loan, Loan) or not (loan.connection or _opens(loan)):
                continue
            mine = (
                loan.user == here
                if asking.requester is None
                else loan.requester is asking.requester
            )
            (own if mine else others).append(loan)
        others.sort(key=_since)
        return (
            tuple(describe_loan(loan, now) for loan in own),
            tuple(describe_loan(loan, now) for loan in others[:NAMED]),
        )


def _opens(loan: Loan) -> bool:
    return loan.state is TAKING


def _since(loan: Loan) -> float:
    return loan.arrived + loan.waited if _opens(loan) else loan.since


def describe_loan(loan: Loan, now: float) -> Holder:
    """Say who has *loan*, for how long, and whether anybody works with it."""
    requester = loan.requester() if loan.requester is not None else None
    if requester is None:
        who = f"taken {describe(loan.origin)}"
    else:
        who = on_one_line(requester.describe())
        if loan.origin is not None:
            who = f"{who}, taken {describe(loan.origin)},"
    if _opens(loan):
        who = f"{who}, whose connection is being opened,"
    resting = loan.resting_since()
    rested = None if resting is None else max(0.0, now - resting)
    return Holder(who, now - _since(loan), rested, loan.user)
