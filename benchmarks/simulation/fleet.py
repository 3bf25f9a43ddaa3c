"""Many processes share what one server grants: who gets how much, and how soon.

The gate, the limit, the outage's pauses and the surplus are the library's own. The
server grants a *budget* of connections and refuses the others at once.
"""

from __future__ import annotations

import heapq
import logging
import multiprocessing
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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

TIMEOUT = 5.0
HUNGRY = 2.0
NO_ROOM = MySQLdb.OperationalError(1040, "Too many connections")
DOWN = MySQLdb.OperationalError(2003, "Can't connect")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Processes start and end at times of their own. Times are in seconds.

    Each process has *clients* that ask, wait for the answer and ask again after *think*
    seconds on average. The server cannot be had during *down*.
    """

    name: str
    lives: tuple[tuple[float, float], ...]
    capacity: int
    budget: int
    clients: float
    service: float = 0.02
    think: float = 0.0
    duration: float = 60.0
    down: tuple[float, float] = (-1.0, -1.0)
    max_idle: float = 60.0
    #: On how many hosts they are, whose processes see one another; 0: each on its own.
    hosts: int = 0
    #: How long it takes to open a connection.
    connecting: float = 0.0
    #: How late a thread gets the processor, on average, and the server notes an end.
    late: float = 0.0
    #: After how many seconds a refused client comes back, at least and at most.
    retry: tuple[float, float] = (1.0, 2.0)


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


@dataclass
class Seen:
    """What happened, by whole seconds."""

    good: Counter[int] = field(default_factory=Counter)
    #: The same of each process.
    good_of: Counter[tuple[int, int]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_at: Counter[int] = field(default_factory=Counter)
    first_refused_as: dict[str, float] = field(default_factory=dict)
    opened: Counter[int] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)
    #: Of each process, how many connections it had at each whole second.
    shares: list[list[int]] = field(default_factory=list)
    first_good: dict[int, float] = field(default_factory=dict)


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


class Simulated:
    """Plays one fleet."""

    def __init__(self, plan: Fleet, seed: int = 1) -> None:
        self.plan = plan
        self.now = 0.0
        self.used = 0
        self.rng = random.Random(seed)
        random.seed(seed)
        self.seen = Seen()
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._sequence = 0
        self.processes: list[Process] = []

    def clock(self) -> float:
        return self.now

    def at(self, time: float, call: Callable[[Any], None], argument: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (time, self._sequence, call, argument))

    def lateness(self) -> float:
        late = self.plan.late
        return self.rng.expovariate(1 / late) if late else 0.0

    def freed(self, _: object) -> None:
        self.used -= 1

    def service(self) -> float:
        return self.rng.expovariate(1 / self.plan.service)

    def connect(self) -> None:
        begin, end = self.plan.down
        if begin <= self.now < end:
            self.seen.rejected[int(self.now)] += 1
            raise DOWN
        if self.used >= self.plan.budget:
            self.seen.rejected[int(self.now)] += 1
            raise NO_ROOM
        self.used += 1
        self.seen.opened[int(self.now)] += 1

    def run(self) -> Seen:
        plan = self.plan
        for number, (start, end) in enumerate(plan.lives):
            process = Process(self, number)
            self.processes.append(process)
            whole = int(plan.clients)
            for _ in range(whole + (self.rng.random() < plan.clients - whole)):
                self.at(start + self.rng.uniform(0, 0.5), process.ask, 0)
            if end < plan.duration:
                self.at(end, process.end, 0)
        if plan.down[0] >= 0:
            self.at(plan.down[0], self._go_down, 0)
        for second in range(int(plan.duration) + 1):
            self.at(second + 0.999, self._count, 0)
        while self._events and self.now <= plan.duration:
            self.now, _, call, argument = heapq.heappop(self._events)
            call(argument)
        return self.seen

    def _go_down(self, _: object) -> None:
        for process in self.processes:
            process.lose_all()

    def _count(self, _: object) -> None:
        self.seen.shares.append([len(process.open) for process in self.processes])


# What one machine cannot show: 1,000 processes on 100 hosts, with one budget.

FOREVER = float("inf")
PROCESSES = 1000
THOUSAND = {"capacity": 5, "clients": 3, "think": 0.2, "duration": 40.0, "hosts": 100}


def _waves() -> tuple[tuple[float, float], ...]:
    """Old processes end in ten waves, each two seconds after new ones have started."""
    old = [(0.0, 12.0 + 2.0 * (number % 10)) for number in range(PROCESSES)]
    new = [(10.0 + 2.0 * (number % 10), FOREVER) for number in range(PROCESSES)]
    return (*old, *new)


FLEETS = (
    Fleet("4 processes, sized", ((0, FOREVER),) * 4, 5, 20, 15),
    Fleet("4 processes that want twice as much", ((0, FOREVER),) * 4, 10, 20, 15),
    Fleet("4 of one host that want it", ((0, FOREVER),) * 4, 10, 20, 15, hosts=1),
    Fleet(
        "2 of 4 come 5 s late, to a full server",
        ((0, FOREVER), (0, FOREVER), (5, FOREVER), (5, FOREVER)),
        10,
        20,
        15,
    ),
    Fleet(
        "1,000 start at once, room for a third",
        ((0, FOREVER),) * PROCESSES,
        budget=1667,
        **THOUSAND,  # type: ignore[arg-type]
    ),
    Fleet(
        "1,000 are replaced in ten waves, room for 1.1 connections each",
        _waves(),
        budget=1100,
        **THOUSAND,  # type: ignore[arg-type]
    ),
    Fleet(
        "500 become 1,000 at 15 s, the server is full",
        (*((0.0, FOREVER),) * 500, *((15.0, FOREVER),) * 500),
        budget=750,
        **THOUSAND,  # type: ignore[arg-type]
    ),
    Fleet(
        "1,000 lose the server for 5 s at 15 s",
        ((0, FOREVER),) * PROCESSES,
        budget=1667,
        down=(15.0, 20.0),
        **THOUSAND,  # type: ignore[arg-type]
    ),
)

COLUMNS = (
    "fleet",
    "good/s in the last 10 s",
    "refused, of all",
    "unavailable, of all",
    "connects/s, most",
    "refused connects/s, most and in the last 10 s",
    "first answer after, half / 99 % / all",
    "connections at the end, least / half / most",
)


def row(fleet: Fleet, seen: Seen) -> tuple[str, ...]:
    """Sum one fleet up."""
    last = range(int(fleet.duration) - 10, int(fleet.duration))
    good = sum(seen.good[second] for second in last) / 10
    refused = sum(seen.refused.values())
    asked = refused + sum(seen.good.values())
    unavailable = seen.refused["unavailable"] + seen.refused["connection_lost"]
    starts = [start for start, _ in fleet.lives]
    waits = sorted(
        seen.first_good.get(number, FOREVER) - start
        for number, start in enumerate(starts)
        if start < fleet.duration - 5
    )
    living = [
        connections
        for connections, (_, end) in zip(seen.shares[-1], fleet.lives, strict=True)
        if end > fleet.duration
    ]
    shares = sorted(living)
    rejected = sum(seen.rejected[second] for second in last) / 10
    late = waits[int(len(waits) * 0.99)]
    return (
        fleet.name,
        f"{good:,.0f}",
        f"{refused / asked:.2%}",
        f"{unavailable / asked:.2%}",
        f"{max(seen.opened.values()):,}",
        f"{max(seen.rejected.values(), default=0):,}, {rejected:,.0f}",
        f"{waits[len(waits) // 2]:.1f} / {late:.1f} / {waits[-1]:.1f} s",
        f"{shares[0]} / {shares[len(shares) // 2]} / {shares[-1]}",
    )


def _play(fleet: Fleet) -> tuple[str, ...]:
    logging.disable(logging.WARNING)
    return row(fleet, Simulated(fleet).run())


def main() -> None:
    """Print a table, as Markdown, of all fleets; in some minutes."""
    print("| " + " | ".join(COLUMNS) + " |")
    print("| --- " * len(COLUMNS) + "|")
    with multiprocessing.Pool() as pool:
        for cells in pool.imap(_play, FLEETS):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
