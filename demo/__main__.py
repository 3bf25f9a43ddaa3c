"""A ticket sale under overload, on Django's own backend and on pooled_db.

    python -m demo                the same load on both, a table and a plot
    python -m demo siege          the same with siege
    python -m demo site [--asgi]  the site, to look at

Each starts a private MariaDB, needs no root, and removes everything it started.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from demo.comparison import Outcome, measure
from demo.serving import (
    MAX_CONNECTIONS,
    PLAIN,
    POOLED,
    THREADS,
    WORKERS,
    Backend,
    private_database,
    served,
)
from tests.harness.load_report import NONE
from tests.harness.mariadb import MariaDB
from tests.harness.program import run_to_the_end

PLOT = Path(__file__).parent / "results" / "comparison.png"

console = Console()


def compare(options: argparse.Namespace) -> int:
    from demo.plot import save_plot
    from demo.table import comparison_table

    console.print(
        f"{options.clients} clients look at the events and buy tickets, each again as"
        f" soon as it has its answer:\n{WORKERS} workers with {THREADS} threads, and a"
        f" database that takes {MAX_CONNECTIONS} connections.",
        soft_wrap=True,
    )
    with private_database() as database, load_progress() as progress:
        outcomes = [
            measured(database, backend, options, progress)
            for backend in (PLAIN, POOLED)
        ]
    console.print(comparison_table(outcomes))
    console.print(f"Plot: {save_plot(outcomes, PLOT)}", soft_wrap=True)
    return 0 if outcomes[-1].books.balanced else 1


def measured(
    database: MariaDB, backend: Backend, options: argparse.Namespace, progress: Progress
) -> Outcome:
    task = progress.add_task(backend.title, total=options.seconds, counts="starting")

    def show(elapsed: float, counts: Counter[int]) -> None:
        progress.update(
            task,
            completed=min(elapsed, options.seconds),
            counts=f"200: {counts[200]}  503: {counts[503]}"
            f"  500: {counts[500]}  none: {counts[NONE]}",
        )

    outcome = measure(
        database,
        backend,
        clients=options.clients,
        seconds=options.seconds,
        progress=show,
    )
    show(options.seconds, outcome.report.counts)
    return outcome


def load_progress() -> Progress:
    return Progress(
        TextColumn("{task.description:12}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
        console=console,
    )


def siege(options: argparse.Namespace) -> int:
    from demo.siege import NoSiege, besiege, siege_table

    try:
        with private_database() as database:
            sieges = []
            for backend in (PLAIN, POOLED):
                with console.status(f"{backend.title} under siege"):
                    sieges.append(besiege(database, backend))
    except NoSiege as missing:
        console.print(str(missing))
        return 2
    console.print(siege_table(sieges))
    return 0


def site(options: argparse.Namespace) -> int:
    with (
        private_database() as database,
        served(database, POOLED, asgi=options.asgi) as server,
    ):
        console.print(
            f"The box office is open at [link]{server.url}/[/link]\n"
            "  Buy: a purchase is one transaction on the request's connection.\n"
            "  /healthz: answers without a connection, however full the pool is.\n"
            f"  Overload it from another terminal:  siege -c 200 -t 20s {server.url}/\n"
            "Ctrl-C ends it and removes the database.",
            soft_wrap=True,
        )
        threading.Event().wait()
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=compare, clients=400, seconds=20.0)
    parser.add_argument("--clients", type=int, help="of the comparison (400)")
    parser.add_argument("--seconds", type=float, help="of load on each (20)")
    commands = parser.add_subparsers(metavar="siege | site")
    commands.add_parser("siege", help="compare with siege").set_defaults(run=siege)
    site_parser = commands.add_parser("site", help="serve the site until Ctrl-C")
    site_parser.add_argument("--asgi", action="store_true", help="under uvicorn")
    site_parser.set_defaults(run=site)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    return run_to_the_end(lambda: int(options.run(options)))


if __name__ == "__main__":
    sys.exit(main())
