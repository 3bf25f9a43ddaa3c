"""What the simulation plays, and under which policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.simulation.engine import Policy, Scenario
from benchmarks.simulation.policies import AdaptiveLifo, CoDel, Fifo
from pooled_db.conf import PoolSettings
from pooled_db.pool.gate import Gate

DEFAULTS = PoolSettings()
#: In seconds, of every policy, so that they are comparable. A simulated process has all
#: the CPU that it wants: for one that has not the default is longer.
TARGET = 0.05

SHEDDING = partial(
    Gate,
    max_waiting=DEFAULTS.max_waiting,
    queue_target=TARGET,
    queue_interval=DEFAULTS.queue_interval,
)
GATE = Policy("the gate", SHEDDING)

#: The first of them as SQLAlchemy's QueuePool has it, and django-db-connection-pool.
POLICIES = (
    Policy("FIFO, 30 s", Fifo, timeout=30),
    Policy("FIFO, 5 s", Fifo),
    Policy("adaptive LIFO", AdaptiveLifo),
    Policy("plain CoDel", CoDel),
    GATE,
)

REFINEMENTS = (
    Policy("plain CoDel", CoDel),
    Policy("A reserve", partial(CoDel, reserve=True)),
    Policy("B early", partial(CoDel, early=True)),
    Policy("C relapse", partial(CoDel, relapse=True)),
    Policy("A, B", partial(CoDel, reserve=True, early=True)),
    Policy("A, C", partial(CoDel, reserve=True, relapse=True)),
    Policy("B, C", partial(CoDel, early=True, relapse=True)),
    Policy("A, B, C", partial(CoDel, reserve=True, early=True, relapse=True)),
    Policy("A, D until empty", partial(CoDel, reserve=True, until_empty=True)),
    Policy("A, B, D", partial(CoDel, reserve=True, early=True, until_empty=True)),
    GATE,
)


def steady(load: float, law: str = "exponential") -> Scenario:
    name = f"{load:g} x, {law}" if law != "exponential" else f"{load:g} x"
    return Scenario(name, [(0, load)], 30, (5, 30), law=law)


def small_pool(capacity: int, load: float) -> Scenario:
    name = f"{capacity} x 1 s, {load:g} x"
    return Scenario(
        name,
        [(0, load)],
        200,
        (10, 200),
        capacity=capacity,
        service=1.0,
        processes=20,
    )


NEVER = float("inf")
SLOW = Scenario(
    "queries 20 x slower for 5 s", [(0, 0.8)], 40, (10, 15), trouble=(10, 15, 20)
)
STOP = Scenario(
    "database stops for 5 s", [(0, 0.8)], 50, (10, 15), trouble=(10, 15, NEVER)
)
FLASH = Scenario(
    "20 x the clients for 30 s", [(0, 0.5), (10, 10), (40, 0.5)], 70, (10, 40)
)
BURST = Scenario(
    "burst of 0.5 s at 2 x", [(0, 0.2), (10, 2), (10.5, 0.2)], 20, (10, 10.5)
)
BURST_ON_HALF = replace(BURST, load=[(0, 0.5), (10, 2), (10.5, 0.5)])
STORM = Scenario("storm", [(0, 2)], 40, (5, 40), processes=4)

#: The load of the others, and of the one.
HAMMERED = (
    *(
        replace(steady(load), name=f"{load:g} x, and {more:g} x by one", hammering=more)
        for load, more in ((0.5, 2), (0.5, 10), (0.9, 10))
    ),
    replace(steady(2), name="2 x, each another client"),
)
SHARED_OUT = (
    Policy("FIFO, 5 s", Fifo),
    Policy("the gate, one line", SHEDDING),
    Policy("the gate, a line for each client", SHEDDING, by_client=True),
)

SCENARIOS: Mapping[str, Sequence[Scenario]] = {
    "Steady load": [
        *map(steady, (0.5, 0.9, 1.1, 1.5, 2, 5, 10)),
        *(steady(load, "heavy-tailed") for load in (0.9, 1.1, 2, 10)),
    ],
    "Episodes": [
        SLOW,
        STOP,
        FLASH,
        BURST,
        replace(BURST_ON_HALF, name="the same, on 0.5 x"),
        Scenario(
            "2 x for 10 s, then 0.9 x", [(0, 0.5), (5, 2), (15, 0.9)], 60, (5, 15)
        ),
    ],
    "Clients that come back": [
        replace(STORM, name="2 x, at once", retry=(0.1, 0.1)),
        replace(STORM, name="2 x, after 2 s", retry=(2, 2)),
        replace(STORM, name="2 x, after 2 to 4 s", retry=(2, 4)),
        replace(STOP, name="stop of 5 s, at once", retry=(0.1, 0.1)),
        replace(STOP, name="stop of 5 s, after 2 s", retry=(2, 2)),
        replace(STOP, name="stop of 5 s, after 2 to 4 s", retry=(2, 4)),
    ],
    "Few connections, slow queries": [
        *(small_pool(capacity, 2) for capacity in (1, 2, 4)),
        *(small_pool(capacity, 0.7) for capacity in (1, 4)),
    ],
}

REFINED = (
    steady(0.9),
    steady(0.9, "heavy-tailed"),
    steady(1.1),
    steady(2),
    steady(10),
    STOP,
    small_pool(1, 2),
    small_pool(4, 0.7),
)


@dataclass(frozen=True, slots=True)
class ThreadedServer:
    """How many requests its process takes at once, and how long a query takes."""

    threads: int
    service: float

    def scenario(self) -> Scenario:
        return replace(
            steady(3),
            name=f"{self.threads} threads, {1000 * self.service:g} ms",
            threads=self.threads,
            service=self.service,
        )

    def policies(self) -> Sequence[Policy]:
        half = (self.threads - self.scenario().capacity) // 2
        bounded = partial(SHEDDING, max_waiting=half)
        counted = partial(CoDel, reserve=True, early=True, until_empty=True)
        return (
            GATE,
            Policy("max_waiting", bounded),
            replace(GATE, name="REQUEST_START_HEADER", age="timeout"),
            Policy("age counted as waiting", counted, age="wait"),
        )


THREADED = [
    ThreadedServer(threads, service)
    for threads in (16, 24, 40, 80)
    for service in (0.02, 0.05, 0.2)
]

LARGE = (
    Scenario("1,000 processes, 0.5 x", [(0, 0.5)], 8, (2, 8), processes=1000),
    Scenario(
        "1,000 processes, 2 x",
        [(0, 2)],
        8,
        (2, 8),
        processes=1000,
        service=0.2,
    ),
)
