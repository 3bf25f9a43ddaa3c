"""A task that stands in a gate's line, and blocks no thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol

from .permit import WAITING, Gone, Permit, wake_nobody


class Reviewing(Protocol):
    """The gate, as its waiters see it."""

    clock: Callable[[], float]

    def next_review(self, permit: Permit) -> float: ...

    def review(self, permit: Permit) -> None: ...


class TaskWaiting:
    """Waits for *permit* by a future, and by a timer for its reviews."""

    def __init__(
        self, gate: Reviewing, permit: Permit, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._gate = gate
        self._permit = permit
        self._loop = loop
        self._thread = threading.get_ident()
        self._answered: asyncio.Future[None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Look again, called from any thread. Raises Gone if the loop is closed."""
        try:
            if threading.get_ident() == self._thread:
                self._look()
            else:
                self._loop.call_soon_threadsafe(self._look)
        except RuntimeError as error:
            if self._loop.is_closed():
                raise Gone from error
            raise

    async def until_answered(self) -> None:
        """Return when the permit waits no more."""
        try:
            self._look()
            await self._answered
        finally:
            self._permit.wake = wake_nobody  # and so refers no more to this
            if self._timer is not None:
                self._timer.cancel()

    def _review(self) -> None:
        try:
            self._gate.review(self._permit)
        finally:
            # Another loan may have failed to be called back, which is none of its own.
            self._look()

    def _look(self) -> None:
        if self._permit.state is not WAITING:
            if not self._answered.done():
                self._answered.set_result(None)
            return
        if self._timer is not None:
            self._timer.cancel()
        pause = self._gate.next_review(self._permit) - self._gate.clock()
        self._timer = self._loop.call_later(max(0.0, pause), self._review)
