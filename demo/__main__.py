"""A ticket sale under overload: Django alone, django-db-connection-pool, pooled_db.

    python -m demo                a sale opens and 2,000 people come; 2¼ minutes
    python -m demo hammer         clients that ask again as soon as they are answered
    python -m demo siege          the list page under siege
    python -m demo site [--asgi]  the site, to look at and to play with

Each starts a private MariaDB, needs no root, and removes everything it started.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from demo.hammer.comparison import Outcome as Hammered
from demo.hammer.comparison import measure
from demo.rush.outcome import Outcome, hold_sale
from demo.rush.visit import ENDINGS, Doing
from demo.serving import (
    BACKENDS,
    MAX_CONNECTIONS,
    POOLED,
    STAFF,
    THREADS,
    Backend,
    Serving,
    make_staff,
    private_database,
)
from tests.harness.load_report import NONE
from tests.harness.mariadb import MariaDB
from tests.harness.program import run_to_the_end

RESULTS = Path(__file__).parent / "results"

console = Console()


def rush(options: argparse.Namespace) -> int:
    from demo.rush.picture import save_picture
    from demo.rush.table import rush_table

    serving = Serving(options.work, asgi=options.asgi, threads=options.threads)
    say(
        f"A sale opens, and {options.people:,} people come within {options.within:g} s."
        f" They look at the list, choose, and buy.\n{habits(options.deaf)}\n"
        f"Three sites in turn, each with {MAX_CONNECTIONS} connections to the database:"
        f" {serving.title}.\nA purchase does not compute, it sleeps"
        f" {options.work:g} s in the database; so {MAX_CONNECTIONS / options.work:.0f}"
        " a second can be served at best."
    )
    with private_database() as database, showing_progress() as progress:
        outcomes = [
            sale_on(database, backend, serving, options, progress)
            for backend in BACKENDS
        ]
    console.print(rush_table(outcomes))
    say(f"Picture: {save_picture(outcomes, RESULTS / 'rush.png')}")
    return 0 if outcomes[-1].books.balanced else 1


def habits(deaf: bool) -> str:
    if deaf:
        return "They try any error page again twice, and leave when it takes too long."
    return (
        "They come back when they are asked to wait, try an error page again twice, and"
        " leave when it takes too long."
    )


def sale_on(
    database: MariaDB,
    backend: Backend,
    serving: Serving,
    options: argparse.Namespace,
    progress: Progress,
) -> Outcome:
    task = progress.add_task(backend.title, total=options.people, counts="starting")

    def show(now: Counter[Doing]) -> None:
        here = sum(now.values()) - sum(now[ending] for ending in ENDINGS)
        progress.update(
            task,
            completed=sum(now[ending] for ending in ENDINGS),
            counts=f"here: {here:4}  bought: {now[Doing.BOUGHT]:4}"
            f"  gave up: {now[Doing.TIRED]:4}  errors: {now[Doing.PUT_OFF]:4}",
        )

    outcome = hold_sale(
        database,
        backend,
        serving,
        people=options.people,
        within=options.within,
        deaf=options.deaf,
        progress=show,
    )
    show(outcome.endings)
    return outcome


def hammer(options: argparse.Namespace) -> int:
    from demo.hammer.plot import save_plot
    from demo.hammer.table import comparison_table

    say(
        f"{options.clients} clients look at the events and buy tickets, each again as"
        f" soon as it has its answer:\n{Serving(0).title}, and a database that takes"
        f" {MAX_CONNECTIONS} connections."
    )
    with private_database() as database, showing_progress() as progress:
        outcomes = [
            hammered(database, backend, options, progress) for backend in BACKENDS
        ]
    console.print(comparison_table(outcomes))
    say(f"Plot: {save_plot(outcomes, RESULTS / 'hammer.png')}")
    return 0 if outcomes[-1].books.balanced else 1


def hammered(
    database: MariaDB, backend: Backend, options: argparse.Namespace, progress: Progress
) -> Hammered:
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


def showing_progress() -> Progress:
    return Progress(
        TextColumn("{task.description:25}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
        console=console,
    )


def siege(options: argparse.Namespace) -> int:
    from demo.siege import NoSiege, besiege, siege_table

    try:
        with private_database() as database:
            sieges = []
            for backend in BACKENDS:
                with console.status(f"{backend.title} under siege"):
                    sieges.append(besiege(database, backend))
    except NoSiege as missing:
        say(str(missing))
        return 2
    console.print(siege_table(sieges))
    return 0


def site(options: argparse.Namespace) -> int:
    from demo.stage.stage import performing

    with private_database() as database:
        serving = Serving(options.work, asgi=options.asgi, staged=True)
        with performing(database, POOLED, serving) as stage:
            make_staff(database, POOLED, serving)
            say(
                f"The shop, its pools, the buttons: [link]{stage.url}/[/link]\n"
                f"The shop alone:                   [link]{stage.shop}/[/link]\n"
                f"The pools alone:                  [link]{stage.shop}/pools/[/link]\n"
                f"The admin, for {STAFF}, {STAFF}:       "
                f"[link]{stage.shop}/admin/[/link]\n"
                "Ctrl-C ends it and removes the database."
            )
            stage.serve_forever()
    return 0


def say(text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False)


def positive(text: str) -> float:
    """Read a number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def count(text: str) -> int:
    """Read a whole number above 0, for argparse."""
    number = positive(text)
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(number)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=rush)
    parser.add_argument("--people", type=count, default=2000, help="who come (2000)")
    parser.add_argument(
        "--within", type=positive, default=30.0, help="seconds, most of them first (30)"
    )
    parser.add_argument(
        "--work", type=positive, default=0.6, help="seconds a purchase sleeps (0.6)"
    )
    parser.add_argument(
        "--threads", type=count, default=THREADS, help=f"per worker ({THREADS})"
    )
    parser.add_argument(
        "--deaf", action="store_true", help="people take a 503 for any other error"
    )
    parser.add_argument("--asgi", action="store_true", help="under uvicorn")
    commands = parser.add_subparsers(metavar="hammer | siege | site")
    hammer_parser = commands.add_parser("hammer", help="clients that do not wait")
    hammer_parser.add_argument("--clients", type=count, default=400, help="(400)")
    hammer_parser.add_argument("--seconds", type=positive, default=20.0, help="(20)")
    hammer_parser.set_defaults(run=hammer)
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
