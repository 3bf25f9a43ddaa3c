"""Overload, measured, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.contenders import ServerName
from benchmarks.observing import NEXT_SERVED_WITHIN_SECONDS
from benchmarks.overload.cases import CLOSED_POOL_SIZE, OPEN_POOL_SIZE, Case
from benchmarks.overload.measurement import SETTLED_AFTER_SECONDS, Figures, Measurement
from benchmarks.report import Table, amount, milliseconds, seconds
from tests.harness.load_report import NONE

Measurements = Mapping[Case, Measurement]

OF_ANSWERS = (
    "load",
    "contender",
    "good/s",
    "p50 good",
    "p99 good",
    "p99 503",
    "200",
    "503",
    "500",
    "none",
)
OF_SERVER = (
    "CPU per good",
    "CPU per refusal",
    "threads",
    "connections",
    "next served after",
)


def overload_tables(measured: Measurements) -> Iterator[Table]:
    """For each server: open loop, closed loop, and both once they have settled."""
    for server in dict.fromkeys(case.server for case in measured):
        here = [one for one in measured.values() if one.case.server == server]
        for is_open in (True, False):
            group = [one for one in here if (one.case.clients is None) == is_open]
            if group:
                yield whole_table(measured, server, group)
                yield settled_table(server, group)


def whole_table(
    measured: Measurements, server: ServerName, group: Sequence[Measurement]
) -> Table:
    return Table(
        title(server, group[0].case),
        (*OF_ANSWERS, *OF_SERVER),
        [
            (*of_answers(one.case, one.whole), *of_server(one, measured))
            for one in group
        ],
    )


def settled_table(server: ServerName, group: Sequence[Measurement]) -> Table:
    return Table(
        f"{title(server, group[0].case)}: only answers after the first"
        f" {SETTLED_AFTER_SECONDS:g} s",
        OF_ANSWERS,
        [of_answers(one.case, one.settled) for one in group],
    )


def title(server: ServerName, case: Case) -> str:
    if case.clients is None:
        shape = f"arrivals at a fixed rate, pool_size {OPEN_POOL_SIZE}"
    else:
        shape = f"clients that retry at once, pool_size {CLOSED_POOL_SIZE}"
    return f"{server}, {shape}: {case.capacity:g}/s at best"


def of_answers(case: Case, figures: Figures) -> tuple[str, ...]:
    counts = figures.counts
    # Anything else is an error too; none of the contenders has shown one so far.
    errors = counts.get(500, 0) + figures.other
    return (
        case.load_title,
        case.contender.title,
        f"{figures.good_per_second:.0f}",
        seconds(figures.p50_good),
        seconds(figures.p99_good),
        seconds(figures.p99_refused),
        amount(figures.good),
        amount(counts.get(503, 0)),
        amount(errors),
        amount(counts.get(NONE, 0)),
    )


def of_server(one: Measurement, measured: Measurements) -> tuple[str, ...]:
    after = one.next_served
    return (
        milliseconds(one.cpu_per_good),
        milliseconds(one.cpu_per_refusal(measured.get(one.case.calm))),
        amount(one.most_threads),
        amount(one.most_connections),
        f"> {NEXT_SERVED_WITHIN_SECONDS:g} s" if after is None else seconds(after),
    )
