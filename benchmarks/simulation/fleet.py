"""Many processes share what one server grants.

The server grants a *budget* of connections and refuses the others at once.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.simulation.process import DOWN, NO_ROOM, Process


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
