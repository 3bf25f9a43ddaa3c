"""The same requests over links as they are between machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.contenders import COSTING, ServerName
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.links import LINKS
from benchmarks.cost.requests import Cost, cost_of, sites, spread, warm_up
from benchmarks.cost.spread import in_turn
from benchmarks.report import Table

CONTENDERS = {
    name: COSTING[name] for name in ("django", "persistent", "dj-pool", "pooled")
}
REFERENCE = "persistent"

NOTE = (
    "One client with keep-alive, one ORM query per request. Latency: milliseconds, the"
    " median of the requests of a round. CPU: microseconds of the application server"
    f" per request. Ratios to {COSTING[REFERENCE].title}. {command('distance')}"
)

Key = tuple[str, str]


def measure(bench: Bench) -> Findings:
    costs = {server: costs_under(bench, server) for server in bench.servers}
    return Findings(
        [table(server, some) for server, some in costs.items()],
        {
            server: {
                f"{link}, {name}": [asdict(cost) for cost in rounds]
                for (link, name), rounds in some.items()
            }
            for server, some in costs.items()
        },
    )


def costs_under(bench: Bench, server: ServerName) -> dict[Key, list[Cost]]:
    effort, pid = bench.effort, bench.database.pid
    costs: dict[Key, list[Cost]] = {
        (link, name): [] for link in LINKS for name in CONTENDERS
    }
    for link in LINKS:
        with (
            LINKS[link].opened(bench) as database,
            sites(server, CONTENDERS, database) as running,
        ):
            for name in CONTENDERS:
                warm_up(running[name])
            for name in bench.steps(
                f"distance, {server}, {link}",
                list(in_turn(list(CONTENDERS), effort.distant_rounds)),
            ):
                costs[link, name].append(
                    cost_of(running[name], "/items/1", 1, effort.distant_requests, pid)
                )
    return costs


def table(server: ServerName, costs: dict[Key, list[Cost]]) -> Table:
    return Table(
        f"Nearer and farther, {server}",
        ("link", "contender", "latency", "ratio", "CPU", "CPU ratio", "MariaDB's CPU"),
        [row(link, name, costs) for link in LINKS for name in CONTENDERS],
        NOTE,
    )


def row(link: str, name: str, costs: dict[Key, list[Cost]]) -> Sequence[str]:
    own, reference = costs[link, name], costs[link, REFERENCE]
    cells = [LINKS[link].title, COSTING[name].title]
    for figure, factor, form in (("latency", 1e3, ".2f"), ("cpu", 1e6, ".0f")):
        cells += [
            (spread(own, figure) * factor).text(form),
            f"{(spread(own, figure) / spread(reference, figure)).median:.2f}",
        ]
    return [*cells, f"{spread(own, 'database_cpu').median * 1e6:.0f}"]
