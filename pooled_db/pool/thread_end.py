"""What a thread still has when it ends is given back."""

from __future__ import annotations

import logging
import sys
import threading
import weakref

from .lease import Lease
from .origin import describe

logger: logging.Logger = logging.getLogger("pooled_db")


class _ThreadEnd:
    """Lives in a thread's own storage, and so ends with the thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        #: Weak, because most leases go back long before.
        self.leases: weakref.WeakSet[Lease] = weakref.WeakSet()

    def __del__(self) -> None:
        if sys.is_finalizing():
            return
        for lease in list(self.leases):
            # One that is shared between threads can be in use in another.
            if lease.is_out and lease.connection.thread == self._thread:
                logger.info(
                    "A thread ended with a connection to %r, which is given back. It "
                    "was taken %s.",
                    lease.pool.alias,
                    describe(lease.origin),
                )
                lease.checkin()


_here = threading.local()


def give_back_at_thread_end(lease: Lease) -> None:
    """Check *lease* in when this thread ends, if nobody has done so.

    Django's wrapper of the thread refers to itself in a circle: on its own it would
    keep the connection until the garbage collector comes by.
    """
    end = getattr(_here, "end", None)
    if end is None:
        end = _here.end = _ThreadEnd()
    end.leases.add(lease)
