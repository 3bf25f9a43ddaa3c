"""CPU time of the application server per request, and of the database server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.contenders import COSTING, Contender, ServerName, ordinary
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.requests import Cost, cost_of, sites, spread, warm_up
from benchmarks.cost.spread import in_turn
from benchmarks.report import Table
from benchmarks.serving import SCHEMA

CLIENTS = 4
REFERENCE = "persistent"
#: The rows of each table, by the number of queries: a site with no middleware but the
#: contender's own, whose requests are as small as can be, and an ordinary one.
QUERIES = (0, 1, 5)
BARE = COSTING
ORDINARY = {
    name: ordinary(COSTING[name])
    for name in ("django", REFERENCE, "dj-pool", "pooled", "door")
}

NOTE = (
    f"Microseconds of CPU per request, {CLIENTS} clients with keep-alive, an ORM query"
    " by primary key as often as the column says; ratios to"
    f" {COSTING[REFERENCE].title}."
    f" {command('cpu')}"
)
BARE_NOTE = f"The site has no middleware but the contender's own. {NOTE}"
ORDINARY_NOTE = f"The site has the middleware that `startproject` writes. {NOTE}"

Key = tuple[str, int]
Costs = dict[Key, list[Cost]]
Rounds = dict[str, list[dict[str, float]]]


def measure(bench: Bench) -> Findings:
    tables: list[Table] = []
    figures: dict[str, dict[str, Rounds]] = {}
    for server in bench.servers:
        bare = costs_under(bench, server, BARE, "bare")
        usual = costs_under(bench, server, ORDINARY, "ordinary")
        tables += [
            table(f"CPU time per request, {server}", BARE, bare, BARE_NOTE),
            table(
                f"CPU time per request on an ordinary site, {server}",
                ORDINARY,
                usual,
                ORDINARY_NOTE,
            ),
        ]
        figures[server] = {"bare": _figures(bare), "ordinary": _figures(usual)}
    return Findings(tables, figures)


def _figures(costs: Costs) -> Rounds:
    return {
        f"{name} {queries}": [asdict(cost) for cost in rounds]
        for (name, queries), rounds in costs.items()
    }


def costs_under(
    bench: Bench, server: ServerName, contenders: Mapping[str, Contender], what: str
) -> Costs:
    effort, pid = bench.effort, bench.database.pid
    keys = [(name, queries) for queries in QUERIES for name in contenders]
    costs: Costs = {key: [] for key in keys}
    with sites(server, contenders, bench.database.database(SCHEMA)) as running:
        for name in contenders:
            warm_up(running[name])
        for name, queries in bench.steps(
            f"cpu, {server}, {what}", list(in_turn(keys, effort.cpu_rounds)), str
        ):
            each = effort.cpu_requests // CLIENTS
            costs[name, queries].append(
                cost_of(running[name], f"/items/{queries}", CLIENTS, each, pid)
            )
    return costs


def table(
    title: str, contenders: Mapping[str, Contender], costs: Costs, note: str
) -> Table:
    per_query = (f"{queries} queries" for queries in QUERIES)
    return Table(
        title,
        (
            "contender",
            *(h for q in per_query for h in (q, "ratio")),
            "MariaDB, 1 query",
        ),
        [row(name, costs) for name in contenders],
        note,
    )


def row(name: str, costs: Costs) -> Sequence[str]:
    cells = [COSTING[name].title]
    for queries in QUERIES:
        own = spread(costs[name, queries], "cpu")
        ratio = own / spread(costs[REFERENCE, queries], "cpu")
        cells += [f"{own.median * 1e6:.0f}", ratio.text(".2f")]
    return [*cells, f"{spread(costs[name, 1], 'database_cpu').median * 1e6:.0f}"]
