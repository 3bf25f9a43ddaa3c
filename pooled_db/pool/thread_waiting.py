"""A thread that stands in a gate's line."""

from __future__ import annotations

import contextlib
import threading

from .permit import WAITING, Permit, wake_nobody
from .task_waiting import Reviewing


class ThreadWaiting:
    """Waits for *permit* by a lock that whoever has news releases."""

    def __init__(self, gate: Reviewing, permit: Permit) -> None:
        self._gate = gate
        self._permit = permit
        self._bell = threading.Lock()
        self._bell.acquire()

    def wake(self) -> None:
        """Look again, called from any thread. Rung twice, it rings once."""
        # To look first whether it is locked would not do: two threads may ring.
        with contextlib.suppress(RuntimeError):
            self._bell.release()

    def until_answered(self) -> None:
        """Return when the permit waits no more."""
        gate, permit = self._gate, self._permit
        try:
            while permit.state is WAITING:
                pause = gate.next_review(permit) - gate.clock()
                if pause <= 0 or not self._bell.acquire(timeout=pause):
                    gate.review(permit)
        finally:
            permit.wake = wake_nobody  # and so refers no more to this
