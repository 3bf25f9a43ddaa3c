"""How fast refusals may leave, so that they never take the CPU from good answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from ..fork import in_child

#: Share of one core up to which the process may work before refusals are held back.
#: Above it, whoever is being served waits noticeably for the interpreter.
BUSY = 0.4
#: Below this share the overload is over, and whoever is still held back is let go.
IDLE = 0.15
#: After how many seconds one who is held back asks whether it is over.
RECONSIDER = 0.5
#: Seconds between two looks at the CPU clock.
LOOK = 0.25
#: Refusals per second that leave however busy the process is.
LEAST = 20.0
#: The most by which one look slows refusals down, or speeds them up.
SLOWER, FASTER = 0.5, 2.0
#: The longest that a refusal is held back, in seconds: by an event loop, where it costs
#: a timer, and by a thread, which can serve nobody else meanwhile.
LONGEST = 5.0
LONGEST_IN_THREAD = 0.25


class Pace:
    """Spaces the refusals of a process out while it is busy.

    Clients that retry the moment they are refused come back as fast as they are
    answered: refused at once, they use up the CPU. While the process is busy, refusals
    leave one by one at a rate that is found by feedback, and those clients wait in
    line; while it is not, they leave at once.

    *clock* and *cpu_clock* are in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._lock = threading.Lock()
        self._looked = clock()
        self._cpu = cpu_clock()
        self._count = 0
        self._rate = float("inf")
        self._next = self._looked

    def after_fork(self) -> None:
        """Start with a lock that no thread of the parent holds."""
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Block this thread until the next refusal may leave."""
        time.sleep(self.delay(LONGEST_IN_THREAD))

    async def hold_async(self) -> None:
        """Wait until the next refusal may leave, blocking no thread."""
        delay = self.delay(LONGEST)
        while delay > 0.0:
            await asyncio.sleep(min(delay, RECONSIDER))
            delay = 0.0 if self._is_over() else delay - RECONSIDER

    def delay(self, longest: float) -> float:
        """For how many seconds to hold the next refusal back, at most *longest*."""
        with self._lock:
            now = self._clock()
            self._count += 1
            if now - self._looked >= LOOK:
                self._look(now)
            leaves = max(now, self._next)
            if leaves - now >= longest:
                return max(longest, 0.0)
            self._next = leaves + 1.0 / self._rate
            return leaves - now

    def _is_over(self) -> bool:
        """Whether the process has become idle, so that nobody need be held back."""
        with self._lock:
            now = self._clock()
            if self._rate < float("inf") and now - self._looked >= LOOK:
                self._look(now)
            return self._rate == float("inf")

    def _look(self, now: float) -> None:
        cpu = self._cpu_clock()
        elapsed = now - self._looked
        busy = (cpu - self._cpu) / elapsed
        left = self._count / elapsed
        self._looked, self._cpu, self._count = now, cpu, 0
        if elapsed > 2 * LOOK and self._rate == float("inf"):
            # Refusals have only just begun: what came before says nothing of them.
            return
        if busy < IDLE or (busy < BUSY and self._next <= now):
            # It is over; or nobody is held back, so that the CPU is not spent on those
            # who come back at once.
            self._rate = float("inf")
            self._next = now
        elif busy > BUSY or self._rate < float("inf"):
            step = min(FASTER, max(SLOWER, BUSY / max(busy, 0.01)))
            self._rate = max(LEAST, left * step)


#: The CPU is the whole process's, so all its pools share one pace.
process_pace: Pace = Pace()
in_child(process_pace.after_fork)
