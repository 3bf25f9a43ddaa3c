"""The gate in overload, simulated: without a clock, and the same on every machine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from benchmarks.simulation.engine import Policy, Scenario, Simulation, service_times
from benchmarks.simulation.outcome import Outcome, percentile
from benchmarks.simulation.policies import Fifo
from benchmarks.simulation.scenarios import FLASH, GATE, NEVER, SLOW, STOP, small_pool
from pooled_db.pool.gate import Gate

FIFO = Policy("FIFO", Fifo)


def overload(load: float) -> Scenario:
    return Scenario(f"{load} x", [(0, load)], 8, (2, 8), processes=3)


def play(scenario: Scenario, policy: Policy = GATE) -> Outcome:
    return Simulation(scenario, policy).run()


def goodput(scenario: Scenario, outcome: Outcome) -> float:
    """Good answers in the episode, relative to what the database can serve."""
    return outcome.good(*scenario.episode) / scenario.full


def p99(values: list[float]) -> float:
    return percentile(values, 0.99) or 0.0


def test_same_seed_gives_the_same_figures() -> None:
    """So that a change of them is a change of the gate."""
    first, second = play(overload(2)), play(overload(2))

    assert first.waits == second.waits
    assert first.refusals == second.refusals


def test_gate_without_shedding_is_first_come_first_served() -> None:
    """The model and the gate agree on every single wait and refusal."""
    unshed = Policy("unshed", partial(Gate, queue_target=None), timeout=1)

    gate = play(overload(2), unshed)
    model = play(overload(2), replace(FIFO, timeout=1))

    assert gate.waits == model.waits
    assert gate.refusals == model.refusals
    assert gate.refusals


@pytest.mark.parametrize("load", [0.5, 0.7])
def test_nobody_is_refused_below_capacity(load: float) -> None:
    outcome = play(overload(load))

    assert not outcome.refusals
    assert p99(outcome.waits) < 0.1


@pytest.mark.parametrize(
    ("load", "least"), [(0.9, 0.87), (1.1, 0.96), (1.5, 0.97), (2, 0.97), (5, 0.97)]
)
def test_steady_load_is_served_as_far_as_the_database_can(
    load: float, least: float
) -> None:
    """Whoever is served waits briefly, and whoever is not hears so soon."""
    scenario = overload(load)

    outcome = play(scenario)

    assert goodput(scenario, outcome) > least
    assert outcome.late == 0
    assert (percentile(outcome.waits, 0.5) or 0) < 0.11
    assert p99(outcome.waits) < 1.0
    assert p99(outcome.refusals) < 1.1


def test_first_come_first_served_alone_serves_those_who_have_left() -> None:
    """What shedding is for."""
    scenario = replace(overload(3), duration=25, episode=(15, 25), processes=2)

    without = play(scenario, replace(FIFO, timeout=30))

    assert goodput(scenario, without) < 0.1
    assert goodput(scenario, play(scenario)) > 0.97


def test_heavy_tailed_queries_cost_little() -> None:
    scenario = replace(overload(2), law="heavy-tailed")

    outcome = play(scenario)

    assert goodput(scenario, outcome) > 0.9
    assert (percentile(outcome.waits, 0.5) or 0) < 0.11


def test_burst_is_absorbed() -> None:
    """Twice the capacity for a third of a second: all but the unluckiest just wait.

    Arrivals and queries are random: in one of the processes the queue happens to stand
    for longer than the interval.
    """
    load = [(0, 0.5), (2, 2), (2.3, 0.5)]
    outcome = play(Scenario("burst", load, 6, (2, 2.3)))

    assert len(outcome.refusals) < 0.01 * len(outcome.waits)
    assert p99(outcome.waits) > 0.2


@pytest.mark.parametrize("trouble", [STOP, SLOW, FLASH], ids=lambda one: one.name)
def test_trouble_is_over_when_it_is_over(trouble: Scenario) -> None:
    begin = 4.0
    end = 8.0
    scenario = replace(
        trouble,
        load=[(0, 0.6), (begin, 5 if trouble is FLASH else 0.6), (end, 0.6)],
        trouble=trouble.trouble and (begin, end, trouble.trouble[2]),
        duration=16,
        episode=(begin, end),
        processes=2,
    )

    shed, unshed = play(scenario), play(scenario, FIFO)

    assert shed.recovery() < 1.5
    assert unshed.recovery() > 3
    assert shed.good(end + 2, 16) / scenario.full > 0.55


@pytest.mark.parametrize(("capacity", "least"), [(1, 0.75), (2, 0.88), (4, 0.93)])
def test_small_pool_of_slow_queries_stays_busy(capacity: int, least: float) -> None:
    """Shedding leaves somebody to hand the next connection to."""
    scenario = small_pool(capacity, 2)

    assert goodput(scenario, play(scenario)) > least


def test_storm_of_retries_leaves_the_database_busy() -> None:
    scenario = replace(overload(2), retry=(2, 4), duration=12, episode=(4, 12))

    outcome = play(scenario)

    assert goodput(scenario, outcome) > 0.95


def test_threads_that_wait_leave_one_to_refuse() -> None:
    """A newcomer who would wait for too long must not keep a thread meanwhile."""
    scenario = replace(
        overload(3), threads=40, duration=20, episode=(14, 20), processes=2
    )

    outcome = play(scenario)

    assert goodput(scenario, outcome) > 0.95
    assert p99(outcome.waits) < 1.0


def test_threads_must_suffice_to_refuse() -> None:
    """With few threads without a connection the line stands before the process.

    Only max_waiting helps there: it refuses while a thread is left to do it.
    """
    scenario = replace(
        overload(3), threads=16, duration=20, episode=(14, 20), processes=2
    )
    bounded = replace(GATE, make=partial(GATE.make, max_waiting=3))

    assert goodput(scenario, play(scenario)) < 0.5
    assert goodput(scenario, play(scenario, bounded)) > 0.95


@pytest.mark.parametrize("law", ["constant", "exponential", "heavy-tailed"])
def test_service_times_have_the_mean_they_promise(law: str) -> None:
    simulation = Simulation(overload(1), FIFO)
    draw = service_times(law, 0.05, simulation._rng)

    drawn = [draw() for _ in range(50_000)]

    assert sum(drawn) / len(drawn) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize(
    ("slowdown", "started", "finished"),
    [
        (NEVER, 9.0, 10.0),  # before it
        (NEVER, 9.5, 15.0),  # into it
        (NEVER, 12.0, 15.0),  # in it
        (NEVER, 14.5, 15.5),  # out of it
        (NEVER, 15.0, 16.0),  # after it
        (4, 9.5, 12.0),
        (4, 10.5, 14.5),
        (4, 13.0, 15.5),
    ],
)
def test_trouble_holds_queries_up(
    slowdown: float, started: float, finished: float
) -> None:
    """A query of 1 s, while the database is in trouble from 10 to 15."""
    scenario = replace(STOP, trouble=(10, 15, slowdown))
    simulation = Simulation(scenario, FIFO)

    simulation.now = started

    assert simulation.finish_of(1.0) == pytest.approx(finished)
