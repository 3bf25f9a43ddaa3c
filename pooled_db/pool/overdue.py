"""Loans that last for too long are logged, once each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from .holders import describe_loan
from .loan import Loan

logger: logging.Logger = logging.getLogger("pooled_db")

#: How often all loans are looked at: this share of the bound, and no oftener.
SHARE = 0.25
LEAST_PAUSE = 0.1


class Overdue:
    """Logs those that *lent* returns if they last for longer than *after* seconds.

    No thread watches: whoever takes a connection, gives one back or is refused passes
    by.
    """

    def __init__(
        self, alias: str, after: float, lent: Callable[[], Iterable[Loan]]
    ) -> None:
        self._alias = alias
        self._after = after
        self._lent = lent
        self._pause = max(LEAST_PAUSE, SHARE * after)
        self._next = 0.0

    def pass_by(self, now: float) -> None:
        """Look at all that are out, unless somebody has done so just now."""
        if now < self._next:
            return
        self._next = now + self._pause
        for loan in self._lent():
            self.judge(loan, now)

    def judge(self, loan: Loan, now: float) -> None:
        """Log *loan* if it has lasted for too long, and has not been logged."""
        if now - loan.since <= self._after or loan.is_reported or not loan.since:
            return
        loan.is_reported = True
        logger.warning(
            "A connection to %r is held for longer than warn_after (%g s): %s.",
            self._alias,
            self._after,
            describe_loan(loan, time.monotonic()),
        )
