"""What a thread still has when it ends is given back."""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref

from .loan import Loan
from .origin import describe

logger: logging.Logger = logging.getLogger("pooled_db")


class _ThreadEnd:
    """Lives in a thread's own storage, and so ends with the thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._process = os.getpid()
        #: Weak, because most loans go back long before.
        self.loans: weakref.WeakSet[Loan] = weakref.WeakSet()

    def __del__(self) -> None:
        # If a thread forks, those of the others end in the child before all else.
        if sys.is_finalizing() or os.getpid() != self._process:
            return
        for loan in list(self.loans):
            # One that is shared between threads can be in use in another.
            if loan.is_out and loan.user == self._thread:
                logger.info(
                    "A thread ended with a connection to %r, which is given back. It "
                    "was taken %s.",
                    loan.pool.alias,
                    describe(loan.origin),
                )
                loan.checkin()


_here = threading.local()


def give_back_at_thread_end(loan: Loan) -> None:
    """Check *loan* in when this thread ends, if nobody has done so.

    Django's wrapper of the thread refers to itself in a circle: on its own it would
    keep the connection until the garbage collector comes by.
    """
    end = getattr(_here, "end", None)
    if end is None:
        end = _here.end = _ThreadEnd()
    end.loans.add(loan)
