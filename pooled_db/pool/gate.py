"""Who may use a database next.

A gate hands out a fixed number of permits, in order of arrival, to threads and
asyncio tasks alike. It does no I/O and knows nothing of connections.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from ..exceptions import Reason
from .permit import HELD, REFUSED, RETURNED, WAITING, Permit, Refused

#: The weight of the latest of the times from which the pace is averaged.
PACE_WEIGHT = 1 / 16
#: For how many intervals after an overload its return is recognised sooner (RFC 8289).
RELAPSE = 16


class Gate:
    """Permits for one database, handed on directly in order of arrival.

    *capacity* permits exist. When all are held, up to *max_waiting* may queue; whoever
    comes then is refused at once.

    Shedding is CoDel in the form of Ecto's DBConnection and of folly: when for
    *queue_interval* seconds nobody got a permit within *queue_target* seconds, the
    queue does not absorb a burst but stands. Until somebody is served within the target
    again, whoever would wait for longer than twice the target is refused:

    - a waiter, as soon as it has waited for that long, while more wait than there are
      permits: so there is always somebody to hand a permit to, however slowly they
      come back;
    - a newcomer, at once, if those before it will take that long at the pace at which
      permits have come back lately.

    An overload that returns soon after it seemed to be over is recognised after twice
    the target. ``queue_target=None`` switches shedding off. See
    https://queue.acm.org/detail.cfm?id=2839461,
    https://www.rfc-editor.org/rfc/rfc8289#section-4.2 and
    https://hexdocs.pm/db_connection/DBConnection.html#start_link/2-queue-config

    Times are in seconds of *clock*.
    """

    def __init__(
        self,
        capacity: int,
        *,
        max_waiting: int | None = None,
        queue_target: float | None = None,
        queue_interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = capacity
        self.max_waiting = max_waiting
        self.queue_target = queue_target
        self.queue_interval = queue_interval
        self.clock = clock
        self._lock = threading.Lock()
        # How many are free is not counted but follows from who holds one: an interrupt
        # at any moment cannot make the two differ.
        self._held: set[Permit] = set()
        self._queue: OrderedDict[Permit, None] = OrderedDict()
        self._returned: deque[Permit] = deque()
        self._slow_since: float | None = None
        self._overload_ended = float("-inf")
        self._last_served: float | None = None
        self._pace = 0.0

    def __repr__(self) -> str:
        return (
            f"<Gate: {self.free} of {self.capacity} free, {len(self._queue)} waiting>"
        )

    @property
    def free(self) -> int:
        """How many permits nobody holds."""
        return self.capacity - len(self._held)

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._queue)

    @property
    def overloaded(self) -> bool:
        """Whether the queue has stood for so long that it is being shed."""
        with self._lock:
            overloaded = self._overloaded(self.clock())
        self._settle()
        return overloaded

    # Asking, for threads and tasks.

    def acquire(self, permit: Permit, timeout: float) -> None:
        """Block this thread until *permit* is held.

        Raises :class:`Refused` when *timeout* seconds have passed or the queue says no.
        """
        bell: threading.Lock | None = None

        def wake() -> None:
            # Before there is a bell, the state says it all.
            if bell is not None:
                bell.release()

        try:
            if self.enter(permit, timeout, wake):
                return
            ring = threading.Lock()
            ring.acquire()
            bell = ring
            while permit.state is WAITING:
                pause = self.next_review(permit) - self.clock()
                if pause <= 0 or not ring.acquire(timeout=pause):
                    self.review(permit)
        except BaseException:
            self.release(permit)
            raise
        self._raise_if_refused(permit)

    async def acquire_async(self, permit: Permit, timeout: float) -> None:
        """Wait until *permit* is held, blocking no thread; otherwise as `acquire`."""
        answer: Callable[[], None] | None = None

        def wake() -> None:
            if answer is not None:
                answer()

        try:
            if self.enter(permit, timeout, wake):
                return
            loop = asyncio.get_running_loop()
            answered: asyncio.Future[None] = loop.create_future()
            answer = _in_loop(loop, answered)
            await self._answer(permit, loop, answered)
        except BaseException:
            self.release(permit)
            raise
        self._raise_if_refused(permit)

    async def _answer(
        self,
        permit: Permit,
        loop: asyncio.AbstractEventLoop,
        answered: asyncio.Future[None],
    ) -> None:
        """Wait until *permit* waits no more; *answered* may come too late to tell."""
        timer: asyncio.TimerHandle | None = None

        def review() -> None:
            nonlocal timer
            self.review(permit)
            if permit.state is WAITING:
                timer = loop.call_later(self._until_review(permit), review)
            elif not answered.done():
                answered.set_result(None)

        try:
            if permit.state is WAITING:
                timer = loop.call_later(self._until_review(permit), review)
                await answered
        finally:
            if timer is not None:
                timer.cancel()

    # The steps of which asking is made; a simulation drives them itself.

    def enter(self, permit: Permit, timeout: float, wake: Callable[[], None]) -> bool:
        """Take *permit* at once, or queue it.

        Returns ``False`` if it is queued: *wake* is then called once, from any thread,
        when its state has changed. Raises :class:`Refused` if the queue is full.
        """
        with self._lock:
            now = self.clock()
            permit.arrived = now
            permit.deadline = now + timeout
            if len(self._held) < self.capacity and not self._queue:
                self._held.add(permit)
                permit.state = HELD
                if self._slow_since is not None:
                    self._judge_wait(0.0, now)
            else:
                self._queue_up(permit, now, wake)
        if self._returned or self._queue:
            self._settle()
        if permit.state is HELD:
            return True
        self._raise_if_refused(permit)
        return False

    def next_review(self, permit: Permit) -> float:
        """When a waiter must call `review`, by the gate's clock."""
        if self.queue_target is None:
            return permit.deadline
        now = self.clock()
        review = permit.arrived + 2 * self.queue_target
        if review <= now:
            review = now + self.queue_interval
        return min(review, permit.deadline)

    def review(self, permit: Permit) -> None:
        """Refuse *permit* if it has waited for too long."""
        with self._lock:
            if permit.state is WAITING:
                now = self.clock()
                reason = self._too_old(permit, now)
                if reason is not None:
                    self._refuse(permit, reason, now)
                    del self._queue[permit]
        self._settle()

    def release(self, permit: Permit) -> None:
        """Give *permit* back, whatever its state, and hand it to the next in line.

        Calling it again does nothing. It never waits for a lock, so that a finalizer
        may call it, wherever the garbage collector happens to run.
        """
        self._returned.append(permit)
        self._settle()

    def _settle(self) -> None:
        """Take back what has been returned, here or in whoever holds the lock."""
        # Whoever has held the lock looks again after letting go of it, and a permit is
        # in the deque before its thread tries the lock: one of the two sees it. And
        # somebody waits beside a free permit where a release was interrupted between
        # taking the permit back and handing it on.
        while self._returned or (self._queue and len(self._held) < self.capacity):
            answered: list[Permit] = []
            # An interrupt may come after any call, so also after one that takes the
            # lock and before `try`, but not between a `for` and its body.
            for locked in map(self._lock.acquire, (False,)):
                if not locked:
                    return
                try:
                    while self._returned:
                        self._take_back(self._returned[0])
                        self._returned.popleft()
                    if self._queue:
                        self._serve(answered)
                finally:
                    self._lock.release()
            for permit in answered:
                try:
                    permit._wake()
                except RuntimeError:
                    # Its event loop has been closed: nobody is there to take the
                    # permit, which goes to the next.
                    self._returned.append(permit)

    # Under the lock.

    def _queue_up(self, permit: Permit, now: float, wake: Callable[[], None]) -> None:
        waiting = len(self._queue)
        if not waiting:
            # Nobody was waiting, so the queue did not stand, nor did a permit come back
            # to anybody.
            self._judge_wait(0.0, now)
            self._last_served = None
        if self.max_waiting is not None and waiting >= self.max_waiting:
            self._refuse(permit, Reason.QUEUE_FULL, now)
        elif now >= permit.deadline:
            self._refuse(permit, Reason.TIMEOUT, now)
        elif self._overloaded(now) and waiting >= self._bearable():
            self._refuse(permit, Reason.OVERLOADED, now)
        else:
            permit._wake = wake
            self._queue[permit] = None
            permit.state = WAITING

    def _take_back(self, permit: Permit) -> None:
        self._queue.pop(permit, None)
        self._held.discard(permit)
        permit.state = RETURNED

    def _serve(self, answered: list[Permit]) -> None:
        now = self.clock()
        while self._queue and len(self._held) < self.capacity:
            permit = next(iter(self._queue))
            reason = self._too_old(permit, now)
            if reason is not None:
                self._refuse(permit, reason, now)
            else:
                self._held.add(permit)
                permit.state = HELD
                permit.waited = now - permit.arrived
                self._judge_wait(permit.waited, now)
                self._keep_pace(now)
            del self._queue[permit]
            answered.append(permit)

    def _judge_wait(self, waited: float, now: float) -> None:
        if self.queue_target is not None and waited > self.queue_target:
            if self._slow_since is None:
                self._slow_since = now
        elif self._slow_since is not None:
            if self._overloaded(now):
                self._overload_ended = now
            self._slow_since = None

    def _keep_pace(self, now: float) -> None:
        """Learn how often a permit comes back while somebody waits for it."""
        if self._last_served is not None:
            self._pace += (now - self._last_served - self._pace) * PACE_WEIGHT
        self._last_served = now

    def _bearable(self) -> float:
        """How many may wait without the last waiting for twice the target."""
        assert self.queue_target is not None
        if self._pace <= 0.0:
            return float("inf")
        return max(self.capacity, 2 * self.queue_target / self._pace)

    def _overloaded(self, now: float) -> bool:
        if self.queue_target is None:
            return False
        since = self._slow_since
        if since is None:
            if not self._queue:
                return False
            # Nothing may have come back for long: the oldest waiter tells.
            since = next(iter(self._queue)).arrived + self.queue_target
        patience = self.queue_interval
        if since - self._overload_ended < RELAPSE * self.queue_interval:
            patience = min(patience, 2 * self.queue_target)
        return now - since >= patience

    def _too_old(self, permit: Permit, now: float) -> Reason | None:
        if now >= permit.deadline:
            return Reason.TIMEOUT
        if (
            self.queue_target is not None
            and now - permit.arrived >= 2 * self.queue_target
            and len(self._queue) > self.capacity
            and self._overloaded(now)
        ):
            return Reason.OVERLOADED
        return None

    def _refuse(self, permit: Permit, reason: Reason, now: float) -> None:
        permit.state = REFUSED
        permit.reason = reason
        permit.waited = now - permit.arrived

    # Outside the lock.

    def _until_review(self, permit: Permit) -> float:
        return max(0.0, self.next_review(permit) - self.clock())

    @staticmethod
    def _raise_if_refused(permit: Permit) -> None:
        if permit.state is REFUSED:
            assert permit.reason is not None
            raise Refused(permit.reason, permit.waited)


def _in_loop(
    loop: asyncio.AbstractEventLoop, answered: asyncio.Future[None]
) -> Callable[[], None]:
    """Return what completes *answered* from any thread."""
    thread = threading.get_ident()

    def answer() -> None:
        if not answered.done():
            answered.set_result(None)

    def wake() -> None:
        if threading.get_ident() == thread:
            answer()
        else:
            loop.call_soon_threadsafe(answer)

    return wake
