"""Every run of the simulation, and its figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.simulation.engine import Policy, Scenario, Simulation
from benchmarks.simulation.outcome import percentile
from benchmarks.simulation.scenarios import (
    GATE,
    HAMMERED,
    LARGE,
    POLICIES,
    REFINED,
    REFINEMENTS,
    SCENARIOS,
    SHARED_OUT,
    THREADED,
)

REFINING = "Refinements of CoDel"
HAMMERING = "One client hammers"
THREADS = "Threads, at 3 x"
LARGE_SITE = "A large site"


@dataclass(frozen=True, slots=True)
class Run:
    """One scenario under one policy, for one table."""

    table: str
    scenario: Scenario
    policy: Policy


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run, in seconds.

    ``good`` and ``good_after`` are good answers in and after the episode, relative to
    what the database can serve; ``good_by_step`` is the same over time, and
    ``wait_by_step`` the median wait. ``refused`` and ``late`` are shares of all
    clients; ``attempts`` is the mean of each.
    """

    run: Run
    good: float
    good_after: float | None
    wait_p50: float | None
    wait_p99: float | None
    refusal_p99: float | None
    idle: float | None
    refused: float
    late: float
    attempts: float
    recovery: float | None
    good_by_step: list[float]
    wait_by_step: list[float | None]
    arrivals_per_second: float
    events_per_second: float


def runs() -> Iterator[Run]:
    for table, scenarios in SCENARIOS.items():
        for scenario in scenarios:
            for policy in POLICIES:
                yield Run(table, scenario, policy)
    for scenario in REFINED:
        for policy in REFINEMENTS:
            yield Run(REFINING, scenario, policy)
    for scenario in HAMMERED:
        for policy in SHARED_OUT:
            yield Run(HAMMERING, scenario, policy)
    for server in THREADED:
        for policy in server.policies():
            yield Run(THREADS, server.scenario(), policy)
    for scenario in LARGE:
        yield Run(LARGE_SITE, scenario, GATE)


def play(run: Run) -> Result:
    scenario = run.scenario
    began = time.perf_counter()
    outcome = Simulation(scenario, run.policy).run()
    took = time.perf_counter() - began
    begin, end = scenario.episode
    recovers = end < scenario.duration
    return Result(
        run,
        good=outcome.good(begin, end) / scenario.full,
        good_after=(
            outcome.good(end, scenario.duration) / scenario.full if recovers else None
        ),
        wait_p50=percentile(outcome.waits, 0.5),
        wait_p99=percentile(outcome.waits, 0.99),
        refusal_p99=percentile(outcome.refusals, 0.99),
        idle=outcome.longest_idle if scenario.overload else None,
        refused=outcome.lost / outcome.clients,
        late=outcome.late / outcome.clients,
        attempts=1 + (len(outcome.refusals) - outcome.lost) / outcome.clients,
        recovery=outcome.recovery() if recovers else None,
        good_by_step=[
            good / scenario.full for good in outcome.good_by_step(scenario.duration)
        ],
        wait_by_step=outcome.wait_by_step(scenario.duration),
        arrivals_per_second=outcome.clients / scenario.duration,
        events_per_second=outcome.events / took,
    )
