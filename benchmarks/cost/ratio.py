"""A request's CPU beside that with a persistent connection, until it is certain.

The two sites take turns, and each pair of rounds gives one ratio. There are as many
pairs as it takes for the 95 % interval of their mean to be narrow, up to a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import COSTING, Contender, ServerName, ordinary
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.requests import cost_of, sites, warm_up
from benchmarks.cost.spread import Interval, interval
from benchmarks.report import Table
from benchmarks.serving import SCHEMA

CLIENTS = 4
#: Whom pooled_db is compared with, and pooled_db as its default settings make it.
REFERENCE, OURS = PAIR = ("persistent", "door")
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
        made = {name: COSTING[name] for name in PAIR}
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

NOTE = (
    f"The CPU per request of {COSTING[OURS].title}, over that of"
    f" {COSTING[REFERENCE].title}: the geometric mean of the pairs and its 95 %"
    f" interval. Pairs are taken until that is narrower than {WIDTH:g}, or there are"
    f" enough. A difference is real if the interval does not have 1 in it."
    f" {command('ratio')}"
)


def measure(bench: Bench) -> Findings:
    cases = [case for case in CASES if case.server in bench.servers]
    found = {case: ratios(bench, case) for case in bench.steps("ratio", cases)}
    return Findings(
        [
            Table(
                "CPU per request beside a persistent connection",
                ("server", "site", "queries", "ratio", "95 %", "pairs", "real"),
                [row(case, ratios) for case, ratios in found.items()],
                NOTE,
            )
        ],
        {str(case): list(ratios) for case, ratios in found.items()},
    )


def row(case: Case, ratios: Sequence[float]) -> Sequence[str]:
    certain = interval(ratios)
    return (
        case.server,
        case.site,
        str(case.queries),
        f"{certain.mean:.3f}",
        f"{certain.low:.3f} to {certain.high:.3f}",
        str(len(ratios)),
        "no" if certain.low <= 1 <= certain.high else "yes",
    )


def ratios(bench: Bench, case: Case) -> list[float]:
    effort, pid = bench.effort, bench.database.pid
    path = f"/items/{case.queries}"
    found: list[float] = []
    database = bench.database.database(SCHEMA)
    with sites(case.server, case.contenders, database) as running:
        for name in PAIR:
            warm_up(running[name])
        for number in bench.steps(str(case), range(effort.ratio_most)):
            order = PAIR if number % 2 else PAIR[::-1]
            cpu = {
                name: cost_of(
                    running[name], path, CLIENTS, effort.ratio_requests // CLIENTS, pid
                ).cpu
                for name in order
            }
            found.append(cpu[OURS] / cpu[REFERENCE])
            if number + 1 >= effort.ratio_least and is_certain(interval(found)):
                break
    return found


def is_certain(found: Interval) -> bool:
    return found.high - found.low < WIDTH
