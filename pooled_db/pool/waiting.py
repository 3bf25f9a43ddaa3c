"""Waiting for a permit of a gate, in a thread or in a task."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable

from .permit import Permit
from .task_waiting import Reviewing, TaskWaiting
from .thread_waiting import ThreadWaiting


class Waiting(Reviewing):
    """What asks for permits and waits for them, whatever decides who is next."""

    @abstractmethod
    def enter(
        self, permit: Permit, timeout: float, wake: Callable[[], None] | None = None
    ) -> bool:
        """Take *permit* at once, or queue it and return ``False``."""

    @abstractmethod
    def enter_again(self, permit: Permit, wake: Callable[[], None]) -> None:
        """Queue *permit*, which is held, before all others; as `enter` otherwise."""

    @abstractmethod
    def release(self, permit: Permit | None) -> None:
        """Give *permit* back, whatever its state."""

    def acquire(
        self,
        permit: Permit,
        timeout: float,
        before_waiting: Callable[[], None] | None = None,
    ) -> None:
        """Block this thread until *permit* is held, or withdrawn.

        *before_waiting* is called once it stands in line. Raises Refused when *timeout*
        seconds have passed or the queue says no.
        """
        try:
            if self.enter(permit, timeout):
                return
            if before_waiting is not None:
                before_waiting()
        except BaseException:
            self.release(permit)
            raise
        self.wait(permit)

    def wait(self, permit: Permit) -> None:
        """Do the second half of that, for what stands in line."""
        try:
            waiting = ThreadWaiting(self, permit)
            # From here on it is woken; what was before, the state says.
            permit.wake = waiting.wake
            waiting.until_answered()
        except BaseException:
            self.release(permit)
            raise
        permit.raise_if_refused()

    async def acquire_async(self, permit: Permit, timeout: float) -> None:
        """Wait until *permit* is held, blocking no thread; otherwise as `acquire`."""
        try:
            if self.enter(permit, timeout):
                return
            waiting = TaskWaiting(self, permit, asyncio.get_running_loop())
            permit.wake = waiting.wake
            await waiting.until_answered()
        except BaseException:
            self.release(permit)
            raise
        permit.raise_if_refused()

    def acquire_again(self, permit: Permit) -> None:
        """Wait in this thread, before all others, for a permit that was of no use.

        Nothing is done if it has been given back meanwhile. Raises Refused when the
        time is up that it had from the beginning.
        """
        waiting = ThreadWaiting(self, permit)
        try:
            self.enter_again(permit, waiting.wake)
            waiting.until_answered()
        except BaseException:
            self.release(permit)
            raise
        permit.raise_if_refused()
