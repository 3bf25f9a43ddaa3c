"""Ways to run the line before a database, to be compared with the gate's own.

They are models for one thread: the steps of :class:`pooled_db.pool.gate.Gate` without
its lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from pooled_db.exceptions import Reason
from pooled_db.pool.permit import Permit, Refused, State
from pooled_db.pool.shedding import Shedding

Clock = Callable[[], float]
Wake = Callable[[], None]


class Fifo:
    """First come, first served, until the deadline."""

    def __init__(self, capacity: int, *, clock: Clock) -> None:
        self.capacity = capacity
        self.clock = clock
        self.free = capacity
        self.line: OrderedDict[Permit, Wake] = OrderedDict()

    # The gate's steps.

    def enter(
        self, permit: Permit, timeout: float, wake: Wake, age: float = 0.0
    ) -> bool:
        """*age* is for how long the request has waited elsewhere."""
        now = self.clock()
        permit.arrived = now - age
        permit.deadline = permit.arrived + timeout
        if now >= permit.deadline or self.unwelcome(age, now):
            permit.state = State.REFUSED
            raise Refused(Reason.OVERLOADED, 0.0)
        if self.free and not self.line:
            self._grant(permit, now)
            return True
        permit.state = State.WAITING
        self.line[permit] = wake
        return False

    def next_review(self, permit: Permit) -> float:
        return permit.deadline

    def review(self, permit: Permit) -> None:
        now = self.clock()
        if permit.state is State.WAITING and self._too_old(permit, now):
            self._refuse(permit, now)

    def release(self, permit: Permit) -> None:
        now = self.clock()
        if permit.state is State.ADMITTED:
            self.free += 1
        permit.state = State.RETURNED
        while self.free and self.line:
            following = self.choose(now)
            if self._too_old(following, now):
                wake = self._refuse(following, now)
            else:
                wake = self.line.pop(following)
                self._grant(following, now)
            wake()

    def _grant(self, permit: Permit, now: float) -> None:
        self.free -= 1
        permit.state = State.ADMITTED
        permit.waited = now - permit.arrived
        self.on_grant(permit.waited, now)

    def _refuse(self, permit: Permit, now: float) -> Wake:
        permit.state = State.REFUSED
        permit.waited = now - permit.arrived
        return self.line.pop(permit)

    def _too_old(self, permit: Permit, now: float) -> bool:
        return now >= permit.deadline or self.sheds(permit, now)

    # What the policies differ in.

    def unwelcome(self, age: float, now: float) -> bool:
        """Whether a newcomer is refused at once."""
        return False

    def choose(self, now: float) -> Permit:
        """Who gets the next permit."""
        return next(iter(self.line))

    def sheds(self, permit: Permit, now: float) -> bool:
        """Whether a waiter is refused before its deadline."""
        return False

    def on_grant(self, waited: float, now: float) -> None:
        pass


class Reviewed(Fifo):
    """Refuses, in overload, whoever has waited for twice *target*."""

    def __init__(
        self, capacity: int, *, clock: Clock, target: float = 0.05, interval: float = 1
    ) -> None:
        super().__init__(capacity, clock=clock)
        self.target = target
        self.interval = interval

    def next_review(self, permit: Permit) -> float:
        review = permit.arrived + 2 * self.target
        while review <= self.clock():
            review += self.interval
        return min(review, permit.deadline)

    def sheds(self, permit: Permit, now: float) -> bool:
        return now - permit.arrived >= 2 * self.target and self.overloaded(now)

    def overloaded(self, now: float) -> bool:
        raise NotImplementedError


class AdaptiveLifo(Reviewed):
    """Newest first while the line stands: Facebook's adaptive LIFO with CoDel.

    https://queue.acm.org/detail.cfm?id=2839461
    """

    was_empty = float("-inf")

    def enter(
        self, permit: Permit, timeout: float, wake: Wake, age: float = 0.0
    ) -> bool:
        if not self.line:
            self.was_empty = self.clock()
        return super().enter(permit, timeout, wake, age)

    def overloaded(self, now: float) -> bool:
        return bool(self.line) and now - self.was_empty >= self.interval

    def choose(self, now: float) -> Permit:
        return next(reversed(self.line) if self.overloaded(now) else iter(self.line))


class Refined(Shedding):
    """The library's own CoDel, each refinement of which can be left out."""

    def __init__(
        self,
        capacity: int,
        target: float,
        interval: float,
        *,
        reserve: bool,
        early: bool,
        relapse: bool,
        until_empty: bool,
    ) -> None:
        super().__init__(capacity, target, interval)
        self.early = early
        self.until_empty = until_empty
        #: Whether somebody waits still, when somebody is served.
        self.line_stands = False
        if not reserve:
            self.reserve = -1
        if not relapse:
            self.relapse = 0.0

    def turns_away(self, now: float, waiting: int, oldest: float | None) -> bool:
        return self.early and super().turns_away(now, waiting, oldest)

    def served_at_once(self, now: float) -> None:
        if self.until_empty and self.line_stands and self.overloaded(now, None):
            return
        super().served_at_once(now)


class CoDel(Reviewed):
    """CoDel as Ecto's DBConnection has it, and refinements of it.

    *reserve*: nobody is shed while no more than *capacity* wait.
    *early*: a newcomer who would wait for twice *target* is refused at once.
    *relapse*: an overload that returns soon is recognised after twice *target*.
    *until_empty*: it is over when nobody waits, not when somebody was served in time.
    """

    def __init__(
        self,
        capacity: int,
        *,
        clock: Clock,
        target: float = 0.05,
        interval: float = 1,
        reserve: bool = False,
        early: bool = False,
        relapse: bool = False,
        until_empty: bool = False,
    ) -> None:
        super().__init__(capacity, clock=clock, target=target, interval=interval)
        self.shedding = Refined(
            capacity,
            target,
            interval,
            reserve=reserve,
            early=early,
            relapse=relapse,
            until_empty=until_empty,
        )

    @property
    def oldest(self) -> float | None:
        return next(iter(self.line)).arrived if self.line else None

    def overloaded(self, now: float) -> bool:
        return self.shedding.overloaded(now, self.oldest)

    def sheds(self, permit: Permit, now: float) -> bool:
        return self.shedding.gives_up(now, permit.arrived, len(self.line), self.oldest)

    def unwelcome(self, age: float, now: float) -> bool:
        if age >= 2 * self.target and self.overloaded(now):
            # More like it stand before the process: no reserve is needed.
            return True
        if self.free:
            return False
        if not self.line:
            self.shedding.begins(now)
        return self.shedding.turns_away(now, len(self.line), self.oldest)

    def on_grant(self, waited: float, now: float) -> None:
        self.shedding.line_stands = bool(self.line)
        if waited:
            self.shedding.served(waited, now)
        else:
            self.shedding.served_at_once(now)
