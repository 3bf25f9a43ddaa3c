"""A request's CPU beside that with a persistent connection, until it is certain.

The sites take turns, and each round gives one ratio to the persistent connection. There
are as many rounds as it takes for the 95 % interval of pooled_db's mean to be narrow,
up to a bound. Under gunicorn a QueuePool and nothing else takes part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contenders import (
    BARE_QUEUEPOOL,
    COSTING,
    Contender,
    ServerName,
    ordinary,
)
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.requests import cost_of, sites, warm_up
from benchmarks.cost.spread import Interval, interval, one_round
from benchmarks.report import Table
from benchmarks.serving import SCHEMA

CLIENTS = 4
#: Whom pooled_db is compared with, and pooled_db as its default settings make it.
REFERENCE, OURS = "persistent", "door"
#: What the rest of pooled_db stands on.
LEAST = "bare QueuePool"
WIDTH = 0.02


@dataclass(frozen=True, slots=True)
class Case:
    server: ServerName
    site: str
    queries: int

    def __str__(self) -> str:
        return f"{self.server}, {self.site}, {self.queries} queries"

    @property
    def contenders(self) -> dict[str, Contender]:
        made = {name: COSTING[name] for name in (REFERENCE, OURS)}
        if self.server == "gunicorn":
            made[LEAST] = BARE_QUEUEPOOL
        if self.site == "bare":
            return made
        return {name: ordinary(one) for name, one in made.items()}


#: Where the pool costs the most, and where it saves the most.
CASES: Sequence[Case] = (
    Case("gunicorn", "bare", 0),
    Case("gunicorn", "bare", 1),
    Case("gunicorn", "ordinary", 0),
    Case("gunicorn", "ordinary", 1),
    Case("uvicorn", "bare", 1),
)

#: By contender, one for each round.
Ratios = Mapping[str, Sequence[float]]

NOTE = (
    f"The CPU per request over that of {COSTING[REFERENCE].title}: the geometric mean"
    " of the rounds and its 95 % interval. Rounds are made until that of"
    f" {COSTING[OURS].title} is narrower than {WIDTH:g}, or there are enough. A"
    " difference is real if the interval does not have 1 in it."
    f" {BARE_QUEUEPOOL.title}: no line of waiters, no look at connections and sessions."
    f" {command('ratio')}"
)


def measure(bench: Bench) -> Findings:
    cases = [case for case in CASES if case.server in bench.servers]
    found = {case: ratios(bench, case) for case in bench.steps("ratio", cases)}
    return Findings(
        [
            Table(
                "CPU per request beside a persistent connection",
                (
                    "server",
                    "site",
                    "queries",
                    "contender",
                    "ratio",
                    "95 %",
                    "rounds",
                    "real",
                ),
                [line for case, some in found.items() for line in rows(case, some)],
                NOTE,
            )
        ],
        {str(case): dict(some) for case, some in found.items()},
    )


def rows(case: Case, found: Ratios) -> Iterator[Sequence[str]]:
    for name, some in found.items():
        certain = interval(some)
        yield (
            case.server,
            case.site,
            str(case.queries),
            case.contenders[name].title,
            f"{certain.mean:.3f}",
            f"{certain.low:.3f} to {certain.high:.3f}",
            str(len(some)),
            "no" if certain.low <= 1 <= certain.high else "yes",
        )


def ratios(bench: Bench, case: Case) -> Ratios:
    effort, pid = bench.effort, bench.database.pid
    path = f"/items/{case.queries}"
    names = list(case.contenders)
    found: dict[str, list[float]] = {name: [] for name in names if name != REFERENCE}
    database = bench.database.database(SCHEMA)
    with sites(case.server, case.contenders, database) as running:
        for name in names:
            warm_up(running[name])
        for number in bench.steps(str(case), range(effort.ratio_most)):
            cpu = {
                name: cost_of(
                    running[name], path, CLIENTS, effort.ratio_requests // CLIENTS, pid
                ).cpu
                for name in one_round(names, number)
            }
            for name, some in found.items():
                some.append(cpu[name] / cpu[REFERENCE])
            if number + 1 >= effort.ratio_least and is_certain(interval(found[OURS])):
                break
    return found


def is_certain(found: Interval) -> bool:
    return found.high - found.low < WIDTH
