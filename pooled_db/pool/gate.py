"""Who may use a database next.

A gate hands out a fixed number of permits, in order of arrival, to threads and
asyncio tasks alike. It does no I/O and knows nothing of connections.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ..exceptions import Reason
from .permit import ADMITTED, NEW, RETURNED, WAITING, OnCall, Permit, wake_all
from .queue import Queue
from .reserve import Reserve
from .waiting import Waiting

#: The argument with which a lock is tried.
_WITHOUT_WAITING = (False,)


class Gate(Waiting):
    """Permits for one database, handed on directly in order of arrival.

    *capacity* permits exist. When all are held, whoever comes queues. Those who have
    begun (:attr:`Permit.begun`) are served before newcomers, and newcomers with
    priority before the others, but for one in four. Of the permits *reserved_share*, a
    number below 1, is for those two alone. Up to *max_waiting* may queue; then somebody
    is refused, who is :attr:`Permit.bounded`: the last of the longest line. From
    *crowd* on, newcomers are refused as well, if so many wait for longer than a burst.

    Newcomers of each client stand in a line of their own, and with a *queue_target*
    their queue is shed when it stands: see :class:`~pooled_db.pool.lane.Lane`.

    Times are in seconds of *clock*.
    """

    def __init__(
        self,
        capacity: int,
        *,
        max_waiting: int | None = None,
        queue_target: float | None = None,
        queue_interval: float = 1.0,
        reserved_share: float = 0.0,
        crowd: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_call: OnCall | None = None,
        on_line: Callable[[int, float, bool], None] | None = None,
    ) -> None:
        self.capacity = capacity
        #: How many may be held now: fewer while the server grants no more connections.
        self.limit = capacity
        #: When one more may be tried.
        self.raise_at: float = float("inf")
        self.clock = clock
        #: Guards who holds and who waits, and every state from waiting to lent.
        self.lock = threading.Lock()
        # How many are free is not counted but follows from who holds one: an interrupt
        # at any moment cannot make the two differ.
        self._held: set[Permit] = set()
        #: Tells how many are held.
        self.count: Callable[[], int] = self._held.__len__
        self._queue = Queue(
            capacity,
            max_waiting=max_waiting,
            target=queue_target,
            interval=queue_interval,
            crowd=crowd,
        )
        # Its lines, to see at a glance whether anybody waits.
        self._begun = self._queue.begun
        self._newcomers = self._queue.newcomers
        self._prior = self._queue.prior
        self._reserve = Reserve(reserved_share)
        #: How many permits are for those with priority, and for those who have begun.
        self.reserved: int = self._reserve.of(capacity)
        #: What has been given back and not yet been taken back, under the lock.
        self.returned: deque[Permit] = deque()
        self._answered: deque[Permit] = deque()
        self._shedding = self._queue.shedding
        self._on_call = on_call
        # Told, under the lock, how many wait now, since when the first does (0.0 if
        # nobody does), and whether the queue is being shed.
        self._on_line = on_line
        # The one waiter who looks what may be called back, and when it does so next.
        self._watcher: Permit | None = None
        self._look_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Gate: {self.free} of {self.capacity} free, {self.waiting} waiting>"

    @property
    def free(self) -> int:
        """How many permits nobody holds."""
        return self.capacity - len(self._held)

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._queue)

    def held(self) -> list[Permit]:
        """Who holds a permit at this moment."""
        return list(self._held)

    @property
    def overloaded(self) -> bool:
        """Whether the queue has stood for so long that it is being shed."""
        with self.lock:
            overloaded = self._queue.overloaded(self.clock())
        self.settle()
        return overloaded

    # The steps of which waiting is made; a simulation drives them itself.

    def enter(
        self, permit: Permit, timeout: float, wake: Callable[[], None] | None = None
    ) -> bool:
        """Take *permit* at once, or queue it.

        Returns ``False`` if it is queued: its ``wake``, which is *wake* if that is
        given, is then called, from any thread, when its state has changed, or the time
        of its next review. Raises :class:`Refused` if the queue is full.
        """
        if wake is not None:
            permit.wake = wake
        held = self._held
        with self.lock:
            permit.arrived = now = self.clock()
            permit.deadline = now + timeout
            if permit.state is not NEW:
                return True  # withdrawn before it came
            at_once = len(held) < self.limit and not (
                self._begun
                or (
                    (self._newcomers or self._prior or self.reserved)
                    and not permit.begun
                    and not self._queue.lets_in(
                        permit, held, self.limit - self.reserved
                    )
                )
            )
            if at_once:
                held.add(permit)
                permit.state = permit.begins_as
                shedding = self._shedding
                if shedding is not None and shedding.slow_since is not None:
                    shedding.served_at_once(now)
            elif permit.begun or permit.is_known:
                self._queue_up(permit, now)
        if at_once:
            if self.returned:
                self.settle()
            return True
        self.settle()
        if permit.state is NEW:
            if not (permit.begun or permit.is_known):
                # Not with the lock held: it may be the project's own code that tells.
                permit.introduce()
            return self.enter(permit, timeout)
        if permit is self._watcher:
            self._call_back()
        permit.raise_if_refused()
        return permit.state is not WAITING

    def enter_again(self, permit: Permit, wake: Callable[[], None]) -> None:
        """Queue *permit*, which is held, before all others; as `enter` otherwise."""
        with self.lock:
            if permit.state is ADMITTED:
                self._held.discard(permit)
                permit.begun = permit.waits_again = True
                permit.wake = wake
                permit.state = WAITING
                self._queue.add_first(permit)
                self._watch(permit)
        self.settle()

    def reserve(self, share: float) -> None:
        """Keep another *share* of the permits for those with priority."""
        with self.lock:
            self._reserve.share = share
            self.limit_changed()
        self.settle()

    def keep_one(self) -> None:
        """Keep one more permit for those who have begun: they waited for each other."""
        with self.lock:
            if len({permit.requester or permit for permit in self._held}) > 1:
                self._reserve.keep_one(self.limit, self.clock())
                self.limit_changed()
        self.settle()

    def limit_changed(self) -> None:
        """Note, with the lock held, that `limit` is another."""
        self.reserved = self._reserve.of(self.limit)
        self._queue.limit_changed(self.limit)

    def next_review(self, permit: Permit) -> float:
        """When a waiter must call `review`, by the gate's clock."""
        review = permit.deadline
        if self._shedding is not None and not permit.begun:
            now = self.clock()
            review = min(review, self._shedding.review_at(now, permit.arrived))
        if permit is self._watcher:
            review = min(review, self._look_at, self.raise_at)
        return review

    def review(self, permit: Permit) -> None:
        """Refuse *permit* if it has waited for too long."""
        with self.lock:
            if permit.state is WAITING:
                now = self.clock()
                reason = self._queue.too_old(permit, now)
                if reason is not None:
                    permit.refuse(reason, now)
                    self._leave_line(permit)
                self._try_one_more(now)
        self.settle()
        if permit is self._watcher:
            self._call_back()

    def withdraw(self, permit: Permit) -> bool:
        """Let *permit* wait no more, with the lock held; ``False`` if it does not.

        Whoever asked for it has got something else.
        """
        if permit.state not in (NEW, WAITING):
            return False
        self._leave_line(permit)
        permit.state = RETURNED
        self._answered.append(permit)
        return True

    def settle(self) -> None:
        """Take back what has been returned; to be called by whoever held the lock."""
        self.release(None)

    def release(self, permit: Permit | None) -> None:
        """Give *permit* back, whatever its state, and hand it to the next in line.

        Calling it again does nothing. It never waits for a lock, so that a finalizer
        may call it, wherever the garbage collector happens to run: if somebody has the
        lock, *permit* is taken back by them.
        """
        if permit is not None:
            self.returned.append(permit)
        # A permit is in the deque before its thread tries the lock, and whoever has
        # held the lock looks into it after letting go: one of the two sees it. And
        # somebody waits beside a free permit where a release was interrupted between
        # taking the permit back and handing it on.
        while (
            self.returned
            or ((self._begun or self._prior) and len(self._held) < self.limit)
            or (self._newcomers and len(self._held) < self.limit - self.reserved)
        ):
            # An interrupt may come after any call, so also after one that takes a lock,
            # but not between a `for` and its body.
            for locked in map(self.lock.acquire, _WITHOUT_WAITING):
                if not locked:
                    return
                try:
                    while self.returned:
                        back = self.returned[0]
                        self._held.discard(back)
                        if back.state is WAITING:
                            self._leave_line(back)
                            if back.waits_again:  # in another thread than its ender's
                                self._answered.append(back)
                        back.state = back.ends_as
                        self.returned.popleft()
                    if self._begun or self._newcomers or self._prior:
                        self._serve()
                finally:
                    self.lock.release()
            if self._answered:
                wake_all(self._answered, self.returned)
        if self._answered:
            wake_all(self._answered, self.returned)
            if self.returned:
                self.settle()

    def _call_back(self) -> None:
        """Take back, for those who wait, what its holders do not work with."""
        on_call = self._on_call
        assert on_call is not None  # or nobody would watch
        called: list[Permit] = []
        try:
            with self.lock:
                self._look_at = on_call.call_back(self.held(), self._queue, called)
                begun = list(self._begun)
        finally:
            # An interrupt may have come with some of them called back.
            on_call.hand_in(called)
        if not called and (stalled := on_call.in_vain(begun)) is not None:
            with self.lock:
                if stalled.state is WAITING:
                    self._turn_away(stalled, Reason.STALLED, self.clock())
            self.keep_one()
        self.settle()

    # Under the lock.

    def _queue_up(self, permit: Permit, now: float) -> None:
        if self._try_one_more(now):
            return  # it comes again, for there may be one that is free
        permit.arrived -= permit.waited_before
        turned_away = self._queue.turns_away(permit, now)
        if turned_away is not None:
            who, why = turned_away
            if who is permit:
                permit.refuse(why, now)
                return
            self._turn_away(who, why, now)
        # Before it stands in line: an interrupt on the way is a waiter's then.
        permit.state = WAITING
        self._queue.add(permit)
        self._watch(permit)

    def _watch(self, permit: Permit) -> None:
        if self._lacks_watcher():
            self._watcher = permit
        self._tell_line()

    def _try_one_more(self, now: float) -> bool:
        """Let one permit more be held, if it is time, by whoever is first in line."""
        if now >= self._reserve.until:
            self._reserve.keep_none()
            self.limit_changed()
            self._reserve.until = float("inf")
            return True
        if now < self.raise_at:
            return False
        self.raise_at = float("inf")
        self.limit = min(self.limit + 1, self.capacity)
        return True

    def _leave_line(self, permit: Permit) -> None:
        self._queue.remove(permit)
        if permit is self._watcher:
            self._let_watch()
        self._tell_line()

    def _lacks_watcher(self) -> bool:
        # An interrupt may have kept one that waits no more from leaving.
        watcher = self._watcher
        lacks = watcher is None or watcher.state is not WAITING
        return lacks and self._on_call is not None

    def _let_watch(self) -> None:
        """Let the latest waiter watch: it will be here for longest."""
        latest = self._queue.latest
        if latest is not None:
            self._answered.append(latest)
        self._watcher = latest

    def _tell_line(self) -> None:
        if self._on_line is not None:
            self._on_line(*self._queue.at_a_glance(self.clock()))

    def _serve(self) -> None:
        now = self.clock()
        if self._lacks_watcher():
            self._let_watch()
        while len(self._held) < self.limit and (permit := self._next()) is not None:
            if permit.state is not WAITING:  # an interrupt has come in between
                self._leave_line(permit)
                continue
            reason = self._queue.too_old(permit, now)
            if reason is not None:
                self._turn_away(permit, reason, now)
            else:
                permit.state = permit.begins_as
                permit.waited = now - permit.arrived
                # No call up to the next line, after which an interrupt may come: who
                # has a permit is told so.
                self._held |= {permit}
                self._answered += (permit,)
                self._queue.served(permit, now)
                self._leave_line(permit)

    def _next(self) -> Permit | None:
        """Who is next to have a permit, if that may be one that is free now."""
        return self._queue.next(self._held, self.limit - self.reserved)

    def _turn_away(self, permit: Permit, reason: Reason, now: float) -> None:
        permit.refuse(reason, now)
        self._leave_line(permit)
        self._answered.append(permit)
