"""CPU time of the application server per request, and of the database server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.contenders import COSTING, ServerName
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.requests import Cost, cost_of, sites, spread, warm_up
from benchmarks.cost.spread import in_turn
from benchmarks.report import Table
from benchmarks.serving import SCHEMA

CLIENTS = 4
QUERIES = (0, 1, 5)
REFERENCE = "persistent"

NOTE = (
    f"Microseconds of CPU per request, {CLIENTS} clients with keep-alive, an ORM query"
    " by primary key as often as the column says; ratios to"
    f" {COSTING[REFERENCE].title}."
    f" {command('cpu')}"
)

Key = tuple[str, int]
Costs = dict[Key, list[Cost]]


def measure(bench: Bench) -> Findings:
    costs = {server: costs_under(bench, server) for server in bench.servers}
    return Findings(
        [table(server, some) for server, some in costs.items()],
        {
            server: {
                f"{name} {queries}": [asdict(cost) for cost in rounds]
                for (name, queries), rounds in some.items()
            }
            for server, some in costs.items()
        },
    )


def costs_under(bench: Bench, server: ServerName) -> Costs:
    effort, pid = bench.effort, bench.database.pid
    keys = [(name, queries) for queries in QUERIES for name in COSTING]
    costs: Costs = {key: [] for key in keys}
    with sites(server, list(COSTING), bench.database.database(SCHEMA)) as running:
        for name in COSTING:
            warm_up(running[name])
        for name, queries in bench.steps(
            f"cpu, {server}", list(in_turn(keys, effort.cpu_rounds)), str
        ):
            each = effort.cpu_requests // CLIENTS
            costs[name, queries].append(
                cost_of(running[name], f"/items/{queries}", CLIENTS, each, pid)
            )
    return costs


def table(server: ServerName, costs: Costs) -> Table:
    per_query = (f"{queries} queries" for queries in QUERIES)
    return Table(
        f"CPU time per request, {server}",
        (
            "contender",
            *(h for q in per_query for h in (q, "ratio")),
            "MariaDB, 1 query",
        ),
        [row(name, costs) for name in COSTING],
        NOTE,
    )


def row(name: str, costs: Costs) -> Sequence[str]:
    cells = [COSTING[name].title]
    for queries in QUERIES:
        own = spread(costs[name, queries], "cpu")
        ratio = own / spread(costs[REFERENCE, queries], "cpu")
        cells += [f"{own.median * 1e6:.0f}", ratio.text(".2f")]
    return [*cells, f"{spread(costs[name, 1], 'database_cpu').median * 1e6:.0f}"]
