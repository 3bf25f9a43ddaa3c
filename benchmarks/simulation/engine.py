"""A discrete-event simulation of many processes, each with its gate.

Time is a number that jumps from event to event: nothing sleeps, and the same seed
gives the same figures everywhere. What stands in line is the library's own gate, driven
by the steps that its threads and tasks are made of.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.simulation.outcome import Outcome
from pooled_db.pool.permit import Permit, Refused, State

#: How many clients there are, where they are told apart.
CLIENTS = 1000
#: For how long a refusal takes a thread of a threaded server, in seconds.
REFUSAL = 0.001

MakeGate = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to the processes. Times are in seconds.

    *load* lists ``(from, load)``; a load of 1 is what the database can just serve.
    *trouble* is ``(from, to, slowdown)``: in between every query takes that many times
    as long; if it is infinite, nothing comes back before the end. *retry* is the
    shortest and longest pause after which a refused client tries again. *episode* is
    when times are hard. *threads* is how many requests one process takes at once;
    the others wait before it, unseen by the gate. *hammering* is the load of one client
    besides, who comes back whatever the answers and does not count.
    """

    name: str
    load: Sequence[tuple[float, float]]
    duration: float
    episode: tuple[float, float]
    processes: int = 10
    capacity: int = 10
    service: float = 0.05
    law: str = "exponential"
    trouble: tuple[float, float, float] | None = None
    retry: tuple[float, float] | None = None
    patience: float = 10.0
    threads: int | None = None
    hammering: float = 0.0

    @property
    def full(self) -> float:
        """Requests per second that keep all connections busy."""
        return self.processes * self.capacity / self.service

    @property
    def overload(self) -> bool:
        """Whether no connection should ever idle in the episode."""
        begin, end = self.episode
        until = [*(start for start, _ in self.load[1:]), self.duration]
        return self.trouble is None and all(
            load > 1
            for (start, load), stop in zip(self.load, until, strict=True)
            if start < end and stop > begin
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """How the line is run.

    *age* is what becomes of the time that a request has spent before the process, if a
    proxy's header tells it: nothing (``""``), it shortens the ``"timeout"``, or it
    counts as ``"wait"``. *by_client* says whether each client has a line of its own.
    """

    name: str
    make: MakeGate
    timeout: float = 5.0
    age: str = ""
    by_client: bool = False


class Request(Permit):
    """One attempt of one client."""

    __slots__ = ("born", "hammers", "process", "work")

    def __init__(self, process: Process, born: float, work: float) -> None:
        super().__init__()
        self.process = process
        self.born = born
        self.work = work
        self.hammers = False

    def wake(self) -> None:
        self.process.answered(self)


def service_times(law: str, mean: float, rng: random.Random) -> Callable[[], float]:
    """Durations with the given mean."""
    if law == "constant":
        return lambda: mean
    if law == "exponential":
        return lambda: rng.expovariate(1 / mean)
    if law == "heavy-tailed":
        # Pareto with infinite variance, cut at 200 times its smallest value.
        shape, cut = 1.5, 200.0
        smallest = mean * (shape - 1) / (shape - cut ** (1 - shape))
        return lambda: smallest * min(rng.paretovariate(shape), cut)
    raise ValueError(law)


class Simulation:
    """Plays one scenario under one policy."""

    def __init__(self, scenario: Scenario, policy: Policy, seed: int = 1) -> None:
        self.scenario = scenario
        self.policy = policy
        self.now = 0.0
        self.outcome = Outcome(scenario.episode, scenario.patience)
        # Two streams, so that every policy meets the same clients.
        self._rng = random.Random(seed)
        self._retry_rng = random.Random(seed + 1)
        self._draw_work = service_times(scenario.law, scenario.service, self._rng)
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._sequence = 0
        self.processes = [Process(self) for _ in range(scenario.processes)]

    def clock(self) -> float:
        return self.now

    def at(self, time: float, call: Callable[[Any], None], argument: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (time, self._sequence, call, argument))

    def run(self) -> Outcome:
        """Play all of it, the last requests to their end."""
        scenario = self.scenario
        ends = [start for start, _ in scenario.load[1:]] + [scenario.duration]
        for (start, load), end in zip(scenario.load, ends, strict=True):
            self.at(start, self._arrive, (load * scenario.full, end))
        if scenario.hammering:
            self.at(0.0, self._hammer, None)
        events = self._events
        count = 0
        while events:
            self.now, _, call, argument = heapq.heappop(events)
            call(argument)
            count += 1
        self.outcome.events = count
        return self.outcome

    def _arrive(self, stream: tuple[float, float]) -> None:
        rate, end = stream
        if self.now >= end:
            return
        self.outcome.came(self.now)
        process = self.processes[int(self._rng.random() * len(self.processes))]
        request = Request(process, self.now, self._draw_work())
        if self.policy.by_client:
            request.client = self._retry_rng.randrange(CLIENTS)
        process.ask(request)
        self.at(self.now + self._rng.expovariate(rate), self._arrive, stream)

    def _hammer(self, _: None) -> None:
        if self.now >= self.scenario.duration:
            return
        rng = self._retry_rng
        process = self.processes[int(rng.random() * len(self.processes))]
        request = Request(process, self.now, self.scenario.service)
        request.hammers = True
        if self.policy.by_client:
            request.client = CLIENTS
        process.ask(request)
        rate = self.scenario.hammering * self.scenario.full
        self.at(self.now + rng.expovariate(rate), self._hammer, None)

    def _try_again(self, old: Request) -> None:
        process = self.processes[int(self._retry_rng.random() * len(self.processes))]
        process.ask(Request(process, old.born, old.work))

    def refused(self, request: Request, waited: float) -> None:
        if request.hammers:
            return
        self.outcome.refused(waited)
        retry = self.scenario.retry
        again = self.now + self._retry_rng.uniform(*retry) if retry else float("inf")
        if again > request.born + self.scenario.patience:
            self.outcome.gave_up()
        else:
            self.at(again, self._try_again, request)

    def finish_of(self, work: float) -> float:
        """When a query that starts now, and takes *work* in good times, ends."""
        start, trouble = self.now, self.scenario.trouble
        if trouble is None:
            return start + work
        begin, end, slowdown = trouble
        if start >= end or start + work <= begin:
            return start + work
        if slowdown == float("inf"):
            return max(start + work, end)
        left = work - max(0.0, begin - start)
        slow_end = max(start, begin) + left * slowdown
        return slow_end if slow_end <= end else end + (slow_end - end) / slowdown


class Process:
    """One process: its threads, if they are counted, and its gate."""

    __slots__ = ("_backlog", "_idle_since", "_sim", "_threads", "gate")

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._threads = sim.scenario.threads or 0
        self._backlog: deque[Request] = deque()
        self._idle_since: float | None = 0.0
        self.gate = sim.policy.make(sim.scenario.capacity, clock=sim.clock)

    def ask(self, request: Request) -> None:
        request.arrived = self._sim.now
        if self._sim.scenario.threads is None:
            self._enter(request)
        elif self._threads:
            self._threads -= 1
            self._enter(request)
        else:
            self._backlog.append(request)

    def _enter(self, request: Request) -> None:
        sim = self._sim
        asked = request.arrived
        try:
            self._pass_gate(request, sim.now - asked)
        except Refused:
            sim.refused(request, sim.now - asked)
            self._free_thread_at(sim.now + REFUSAL)
        else:
            self._follow(request)

    def _pass_gate(self, request: Request, age: float) -> None:
        policy = self._sim.policy
        if policy.age == "wait":
            self.gate.enter(request, policy.timeout, request.wake, age)
        else:
            left = policy.timeout - age if policy.age == "timeout" else policy.timeout
            self.gate.enter(request, left, request.wake)

    def _review(self, request: Request) -> None:
        if request.state is State.WAITING:
            self.gate.review(request)
            self._follow(request)

    def _follow(self, request: Request) -> None:
        if request.state is State.WAITING:
            self._sim.at(self.gate.next_review(request), self._review, request)
        else:
            self.answered(request)

    def answered(self, request: Request) -> None:
        if request.state is State.ADMITTED:
            self._serve(request)
        else:
            self._sim.refused(request, request.waited)
            self._free_thread_at(self._sim.now)

    def _serve(self, request: Request) -> None:
        sim = self._sim
        self._note_idle()
        request.waited = sim.now - request.born
        sim.at(sim.finish_of(request.work), self._finish, request)

    def _finish(self, request: Request) -> None:
        sim = self._sim
        if not request.hammers:
            sim.outcome.served(request.born, sim.now, request.waited)
        self.gate.release(request)
        self._note_idle()
        self._free_thread_at(sim.now)

    def _free_thread_at(self, time: float) -> None:
        if self._sim.scenario.threads is not None:
            self._sim.at(time, self._next_from_backlog, None)

    def _next_from_backlog(self, _: None) -> None:
        if self._backlog:
            self._enter(self._backlog.popleft())
        else:
            self._threads += 1

    def _note_idle(self) -> None:
        """Keep account of the time in which a permit is free."""
        free = self.gate.free
        if free and self._idle_since is None:
            self._idle_since = self._sim.now
        elif not free and self._idle_since is not None:
            self._sim.outcome.idle(self._idle_since, self._sim.now)
            self._idle_since = None
