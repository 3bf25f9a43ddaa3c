"""One process of a fleet: the library's own parts, and a store without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import MySQLdb

from pooled_db.pool.gate import Gate
from pooled_db.pool.limit import Limit
from pooled_db.pool.outage import (
    LONGEST_PAUSE_FOR_ROOM,
    Outage,
    pause_beside,
)
from pooled_db.pool.permit import ADMITTED, REFUSED, WAITING, Permit, Refused
from pooled_db.pool.share import Share, Sibling
from pooled_db.pool.surplus import Surplus

if TYPE_CHECKING:
    from benchmarks.simulation.fleet import Simulated

TIMEOUT = 5.0
HUNGRY = 2.0
NO_ROOM = MySQLdb.OperationalError(1040, "Too many connections")
DOWN = MySQLdb.OperationalError(2003, "Can't connect")


class Connection:
    """Nothing but what the surplus looks at."""

    __slots__ = ("closed_for", "is_doubtful", "makes_room", "rested")

    def __init__(self, now: float) -> None:
        self.rested = now
        self.is_doubtful = self.makes_room = False


class Request(Permit):
    __slots__ = ("born", "connection", "process", "version")

    def __init__(self, process: Process, now: float) -> None:
        super().__init__()
        self.process = process
        self.born = now
        self.connection: Connection | None = None
        self.version = 0

    def wake(self) -> None:
        self.process.answered(self)


class OnCall:
    """Nothing is on call here; but somebody has to watch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def call_back(self, held: Any, waiters: Any, into: Any) -> float:
        return self._clock() + 0.05

    def hand_in(self, called: list[Permit]) -> None: ...

    def in_vain(self, line: Any) -> None: ...


class Process:
    """One process: the library's parts, and a store without I/O."""

    def __init__(self, fleet: Simulated, number: int) -> None:
        self.fleet = fleet
        self.number = number
        clock = fleet.clock
        self.gate = Gate(
            fleet.plan.capacity,
            max_waiting=1000,
            queue_target=0.08,
            clock=clock,
            on_call=OnCall(clock),
        )
        self.open: dict[Connection, None] = {}
        self.idle: deque[Connection] = deque()
        self.limit = Limit(f"process {number}", self.gate, lambda: len(self.open))
        self.outage = Outage(clock)
        self.no_room = float("-inf")
        share = Share(self, self.limit, self.gate, self.siblings)  # type: ignore[arg-type]
        self.surplus = Surplus(self, share, fleet.plan.max_idle)  # type: ignore[arg-type]
        self.looks = False
        self.alive = True

    # The store, as the surplus knows it.

    def park_idle(self) -> None: ...

    def close_parked(self, since: float, least: int) -> None:
        while self.idle and len(self.open) > least and self.idle[0].rested <= since:
            self._close(self.idle.popleft())

    def close_some_parked(self, most: int) -> int:
        closed = min(most, len(self.idle))
        for _ in range(closed):
            self._close(self.idle.popleft())
        return closed

    def siblings(self) -> list[Sibling]:
        """The other processes of the same host."""
        hosts = self.fleet.plan.hosts
        return (
            [
                Sibling(
                    len(one.open),
                    one.gate.capacity,
                    self.fleet.now - one.no_room < HUNGRY
                    and len(one.open) < one.gate.capacity,
                )
                for one in self.fleet.processes[self.number % hosts :: hosts]
                if one is not self and (one.alive or one.open)
            ]
            if hosts
            else []
        )

    def parked_since(self) -> float | None:
        return self.idle[0].rested if self.idle else None

    def _close(self, connection: Connection) -> None:
        if self.open.pop(connection, self) is not self:
            self.fleet.at(self.fleet.now + self.fleet.lateness(), self.fleet.freed, 0)

    # Requests.

    def ask(self, _: object = None) -> None:
        fleet = self.fleet
        if not self.alive or fleet.now > fleet.plan.duration:
            return
        request = Request(self, fleet.now)
        try:
            if self.gate.enter(request, TIMEOUT, request.wake):
                self.take(request)
            else:
                self.review_later(request)
        except Refused as refusal:
            self.refuse(str(refusal.reason))

    def review_later(self, request: Request) -> None:
        request.version += 1
        fleet = self.fleet
        at = max(self.gate.next_review(request), fleet.now + 1e-4) + fleet.lateness()
        self.fleet.at(at, self.review, (request, request.version))

    def review(self, due: tuple[Request, int]) -> None:
        request, version = due
        if request.state is WAITING and request.version == version:
            self.gate.review(request)
            self.answered(request)

    def answered(self, request: Request) -> None:
        if request.state is ADMITTED and request.connection is None:
            self.fleet.at(self.fleet.now + self.fleet.lateness(), self.take, request)
        elif request.state is REFUSED:
            assert request.reason is not None
            self.refuse(str(request.reason))
        elif request.state is WAITING:
            self.review_later(request)

    def take(self, request: Request) -> None:
        if request.connection is not None or request.state is not ADMITTED:
            return
        fleet = self.fleet
        if self.idle:
            request.connection = self.idle.pop()
        else:
            self._open_for(request)
            return
        fleet.at(fleet.now + fleet.service(), self.done, request)

    def _open_for(self, request: Request) -> None:
        if not self.outage.is_known:
            self.limit.opening.add(request)
        try:
            self.outage.connect(self.fleet.connect, self._longest)
        except MySQLdb.OperationalError as error:
            self.limit.opening.discard(request)
            no_room = error is NO_ROOM or error.args == NO_ROOM.args
            if no_room:
                self.no_room = self.fleet.now
            self.limit.failed(self.outage.retry_at, "no room", no_room=no_room)
            if not (self.limit.others() or self.limit.waits_for_room):
                self.gate.release(request)
                self.refuse("unavailable")
                return
            self.gate.enter_again(request, request.wake)
            self.answered(request)
            return
        request.connection = Connection(self.fleet.now)
        if self.fleet.plan.connecting:
            self.fleet.at(
                self.fleet.now + self.fleet.plan.connecting, self._opened, request
            )
        else:
            self._opened(request)

    def _longest(self, error: MySQLdb.OperationalError) -> float | None:
        if error.args[0] != NO_ROOM.args[0]:
            return None
        return pause_beside(len(self.open)) if self.open else LONGEST_PAUSE_FOR_ROOM

    def _opened(self, request: Request) -> None:
        fleet = self.fleet
        self.limit.opening.discard(request)
        assert request.connection is not None
        self.open[request.connection] = None
        self.limit.opened()
        fleet.at(fleet.now + fleet.service(), self.done, request)
        if not self.looks:
            self.looks = True
            self.fleet.at(self.surplus.first_look(self.fleet.now), self.look_after, 0)

    def look_after(self, _: object) -> None:
        again = self.surplus.look_after(self.fleet.now) if self.alive else None
        self.looks = again is not None
        if again is not None and self.fleet.now <= self.fleet.plan.duration:
            self.fleet.at(again, self.look_after, 0)

    def done(self, request: Request) -> None:
        fleet, connection = self.fleet, request.connection
        assert connection is not None
        if connection not in self.open:
            self.gate.release(request)
            self.refuse("connection_lost")
            return
        connection.rested = fleet.now
        if connection.is_doubtful or not self.alive:
            self._close(connection)
            if self.limit.granted is not None:
                self.outage.may_end()
            if connection.makes_room:
                self.limit.leave_room()
        else:
            self.idle.append(connection)
        self.gate.release(request)
        fleet.seen.good[int(fleet.now)] += 1
        fleet.seen.good_of[self.number, int(fleet.now)] += 1
        fleet.seen.first_good.setdefault(self.number, fleet.now)
        self._next_client()

    def refuse(self, reason: str) -> None:
        seen = self.fleet.seen
        seen.refused[reason] += 1
        seen.first_refused_as.setdefault(reason, self.fleet.now)
        seen.refused_at[int(self.fleet.now)] += 1
        if self.alive:
            pause = self.fleet.rng.uniform(*self.fleet.plan.retry)
            self.fleet.at(self.fleet.now + pause, self.ask, 0)

    def _next_client(self) -> None:
        plan = self.fleet.plan
        pause = self.fleet.rng.expovariate(1 / plan.think) if plan.think else 1e-3
        self.fleet.at(self.fleet.now + pause, self.ask, 0)

    def lose_all(self) -> None:
        for connection in list(self.open):
            self._close(connection)
        self.idle.clear()

    def end(self, _: object) -> None:
        self.alive = False
        while self.idle:
            self._close(self.idle.pop())
