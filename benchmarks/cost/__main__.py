"""What a request pays for its connection, beside the peers.

    python -m benchmarks.cost                      README's table, in five minutes
    python -m benchmarks.cost --all                all of it, in half an hour
    python -m benchmarks.cost --quick              briefly and roughly
    python -m benchmarks.cost --only cycle parts   some of it

One private MariaDB, the application servers and the load generator share this machine,
so nothing else should run on it. Results go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from benchmarks import report
from benchmarks.contenders import SERVERS
from benchmarks.cost import (
    counts,
    cpu,
    cycle,
    distance,
    growth,
    memory,
    parts,
    ratio,
    startup,
    statements,
)
from benchmarks.cost.bench import QUICK, SHORT, Bench, Effort, Findings
from benchmarks.cost.certificate import certificate
from benchmarks.cost.plot import save_plot
from benchmarks.cost.summary import summary
from benchmarks.machine import machine, versions
from benchmarks.serving import SCHEMA
from benchmarks.site.table import make_items
from tests.harness.load import allow_many_sockets
from tests.harness.mariadb import MariaDB
from tests.harness.program import run_to_the_end

Measure = Callable[[Bench], Findings]
PARTS: Mapping[str, Measure] = {
    "statements": statements.measure,
    "counts": counts.measure,
    "startup": startup.measure,
    "ratio": ratio.measure,
    "cycle": cycle.measure,
    "parts": parts.measure,
    "cpu": cpu.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "distance": distance.measure,
}

#: What the table in short is made of.
IN_SHORT = ("statements", "counts", "cycle", "cpu", "distance")
MAX_CONNECTIONS = 1_500
FILE_WIDTH = 160

EXPLANATION = """
Medians, and in parentheses the quartiles of the rounds. The contenders take turns, each
round beginning with another, and ratios are taken within a round. gunicorn runs one
gthread worker with 32 threads, uvicorn one process; pools have 10 connections and no
overflow.
"""

console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)


def run(options: argparse.Namespace) -> int:
    allow_many_sockets()
    load_average = os.getloadavg()[0]
    found: dict[str, Findings] = {}
    with (
        certificate() as made,
        MariaDB(
            max_connections=MAX_CONNECTIONS, options=made.server_options
        ) as database,
        progress_bar() as bar,
    ):
        make_items(database, SCHEMA)
        bench = Bench(database, made, bar, effort_of(options), options.servers)
        circumstances = report.Circumstances(
            datetime.now(timezone.utc).date().isoformat(), versions(database), machine()
        )
        for name in bench.steps("all", list(PARTS) if options.all else options.only):
            found[name] = PARTS[name](bench)
            for table in found[name].tables:
                console.print(table.rich())
    in_short = summary(found)
    for table in in_short:
        console.print(table.rich())
    save(options, circumstances, load_average, in_short, found)
    return 0


def effort_of(options: argparse.Namespace) -> Effort:
    if options.quick:
        return QUICK
    return SHORT if is_default(options) else Effort()


def is_default(options: argparse.Namespace) -> bool:
    return vars(options) == vars(arguments([]))


def save(
    options: argparse.Namespace,
    circumstances: report.Circumstances,
    load_average: float,
    in_short: Sequence[report.Table],
    found: Mapping[str, Findings],
) -> None:
    suffix = "" if is_default(options) else "-partial"
    name = f"cost-{circumstances.date}{suffix}"
    busy = f"Load average of the machine before the start: {load_average:.2f}."
    plot = save_plot(found, report.RESULTS / f"{name}.png")
    picture = [f"![The main figures as a plot]({plot.name})"] if plot else []
    notes = [EXPLANATION.strip(), busy, *picture]
    saved = [
        report.save_markdown(
            report.RESULTS / f"{name}.md",
            "What a request pays for its connection",
            circumstances,
            "\n\n".join(notes),
            [*in_short, *(t for findings in found.values() for t in findings.tables)],
        ),
        report.save_json(
            report.RESULTS / f"{name}.json",
            circumstances,
            load_average=load_average,
            **{part: findings.figures for part, findings in found.items()},
        ),
        *([plot] if plot else []),
    ]
    console.print("Saved:", ", ".join(path.name for path in saved))


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=IN_SHORT)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    return parser.parse_args(given)


def main() -> int:
    options = arguments()
    return run_to_the_end(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
