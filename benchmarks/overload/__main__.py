"""More requests than the database can serve: what becomes of the good ones.

    python -m benchmarks.overload               all servers, contenders and loads
    python -m benchmarks.overload --quick       two loads, briefly
    python -m benchmarks.overload --acceptance  only what the promises come down to

One private MariaDB, one serving process and one load generator share this machine, so
nothing else should run on it. Results go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.contenders import CONTENDERS, SERVERS
from benchmarks.machine import machine, versions
from benchmarks.overload.acceptance import SECONDS as ACCEPTANCE_SECONDS
from benchmarks.overload.acceptance import Check, acceptance_cases, checks
from benchmarks.overload.cases import CALM, CLOSED_POOL_SIZE, LOADS, Case, Load, cases
from benchmarks.overload.measurement import Measurement, measure
from benchmarks.overload.tables import Measurements, overload_tables
from tests.harness.load import allow_many_sockets
from tests.harness.load_report import NONE
from tests.harness.mariadb import MariaDB
from tests.harness.program import run_to_the_end

SECONDS = 6.0
QUICK_SECONDS = 4.0
QUICK_LOADS: tuple[Load, ...] = (CALM, 10.0)

# More than anybody may open: a connection that is just being closed is in nobody's way.
MAX_CONNECTIONS = 2 * CLOSED_POOL_SIZE

EXPLANATION = f"""
Each request holds a connection for 50 ms (`SELECT SLEEP(0.05)` in a synchronous view).
gunicorn runs one gthread worker with 32 threads, uvicorn one process. Arrivals at a
fixed rate come whatever the answers; clients that retry at once send again as soon as
they have any answer. Latencies count from the arrival; a client gives up after 10 s,
which is "none". "500" holds every other error. Django alone has no pool: the server
allows its account as many connections at once as the others' pools have.

CPU per good answer is measured without refusals (at {CALM:g}x; with as many clients as
connections). At overload each good answer is taken to cost the same, and the remaining
CPU time of the server is shared among the arrivals that were not served: refused,
failed or without an answer. "next served after": how long after the end of the load a
client that comes then, and tries again, has its page.
"""

NOTABLE_CORES = 0.1
FILE_WIDTH = 190

console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)


def overload(options: argparse.Namespace) -> int:
    from benchmarks.overload.plot import save_plot

    wanted = list(
        cases(options.servers, options.contenders, options.loads, options.seconds)
    )
    measured, circumstances, skipped = measure_all(wanted)
    tables = list(overload_tables(measured))
    for table in tables:
        console.print(table.rich())
    suffix = "" if is_complete(options) and not skipped else "-partial"
    name = f"overload-{circumstances.date}{suffix}"
    plot = save_plot(measured, report.RESULTS / f"{name}.png")
    picture = f"![The same as a plot]({plot.name})"
    notes = [EXPLANATION.strip(), disturbance(measured), *skipped, picture]
    saved = [
        report.save_markdown(
            report.RESULTS / f"{name}.md",
            "Overload",
            circumstances,
            "\n\n".join(notes),
            tables,
        ),
        report.save_json(
            report.RESULTS / f"{name}.json",
            circumstances,
            skipped=skipped,
            measurements=[as_json(one, measured) for one in measured.values()],
        ),
        plot,
    ]
    console.print("Saved:", ", ".join(path.name for path in saved))
    return 0


def is_complete(options: argparse.Namespace) -> bool:
    """Whether all is measured as by default, so that the results may be quoted."""
    return vars(options) == vars(arguments([]))


def disturbance(measured: Measurements) -> str:
    """How far the figures can be trusted."""
    cores = max((one.others_cores for one in measured.values()), default=0.0)
    lag = max((one.generator_lag for one in measured.values()), default=0.0)
    return (
        f"While a row was measured, other programs took {cores:.2f} cores at most, and"
        f" the load generator was {lag * 1000:.0f} ms late at most."
    )


def acceptance(options: argparse.Namespace) -> int:
    named = acceptance_cases(options.seconds)
    measured, _, _ = measure_all(named.values())
    verdicts = list(checks(named, measured))
    console.print(verdict_table(verdicts).rich())
    console.print(disturbance(measured))
    return 0 if all(check.holds for check in verdicts) else 1


def verdict_table(verdicts: Iterable[Check]) -> report.Table:
    return report.Table(
        "Overload: acceptance",
        ("promise", "figure", "verdict"),
        [(c.promise, c.figure, "OK" if c.holds else "NOT") for c in verdicts],
    )


def measure_all(
    wanted: Iterable[Case],
) -> tuple[Measurements, report.Circumstances, list[str]]:
    """Measure what can be served here; say what cannot."""
    served, skipped = servable(wanted)
    for note in skipped:
        console.print(note, style="yellow")
    allow_many_sockets()
    measured: dict[Case, Measurement] = {}
    with MariaDB(max_connections=MAX_CONNECTIONS) as database, progress_bar() as bar:
        circumstances = report.Circumstances(
            datetime.now(timezone.utc).date().isoformat(), versions(database), machine()
        )
        every = bar.add_task("all", total=len(served), counts="")
        for case in served:
            measured[case] = one = measured_under(bar, database, case)
            bar.advance(every)
            bar.console.print(line(one), soft_wrap=True, highlight=False)
    return measured, circumstances, skipped


def servable(wanted: Iterable[Case]) -> tuple[list[Case], list[str]]:
    served, notes = [], []
    for case in wanted:
        lacking = case.contender.lacks(case.server)
        if lacking is None:
            served.append(case)
        else:
            notes.append(
                f"Skipped: {case.contender.title!r} under {case.server},"
                f" for there is no {lacking}."
            )
    return served, list(dict.fromkeys(notes))


def measured_under(bar: Progress, database: MariaDB, case: Case) -> Measurement:
    title = f"{case.server} {case.load_title} {case.contender.title}"
    task = bar.add_task(title, total=case.seconds, counts="starting")

    def show(elapsed: float, counts: dict[int, int]) -> None:
        bar.update(task, completed=min(elapsed, case.seconds), counts=shown(counts))

    try:
        return measure(database, case, show)
    finally:
        bar.remove_task(task)


def shown(counts: dict[int, int]) -> str:
    named = {"200": 200, "503": 503, "500": 500, "none": NONE}
    return "  ".join(f"{name}: {counts.get(s, 0)}" for name, s in named.items())


def line(one: Measurement) -> str:
    case, whole = one.case, one.whole
    cores = one.others_cores
    disturbed = f"  (others: {cores:.1f} cores)" if cores > NOTABLE_CORES else ""
    return (
        f"{case.server:8}  {case.load_title:14}  {case.contender.title:26}"
        f"  {whole.good_per_second:5.0f} good/s, p99 {report.seconds(whole.p99_good)};"
        f"  {shown(whole.counts)}{disturbed}"
    )


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
        console=console,
    )


def as_json(one: Measurement, measured: Measurements) -> dict[str, object]:
    return {
        **asdict(one),
        "case": {**asdict(one.case), "pool_size": one.case.pool_size},
        "cpu_per_good": one.cpu_per_good,
        "cpu_per_refusal": one.cpu_per_refusal(measured.get(one.case.calm)),
    }


def a_load(text: str) -> Load:
    return "closed" if text == "closed" else float(text)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"of each load ({SECONDS:g}; with --quick {QUICK_SECONDS:g}; with"
        f" --acceptance {ACCEPTANCE_SECONDS:g})",
    )
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS)
    )
    parser.add_argument(
        "--loads",
        nargs="+",
        type=a_load,
        help="times the capacity, or closed, for clients that retry at once; without"
        f" {CALM:g} there is no CPU per refusal",
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--quick", action="store_true")
    modes.add_argument("--acceptance", action="store_true")
    options = parser.parse_args(given)
    quick_or_not = (QUICK_SECONDS, QUICK_LOADS) if options.quick else (SECONDS, LOADS)
    if options.acceptance:
        quick_or_not = (ACCEPTANCE_SECONDS, LOADS)
    options.seconds = options.seconds or quick_or_not[0]
    options.loads = options.loads or quick_or_not[1]
    return options


def main() -> int:
    options = arguments()
    run = acceptance if options.acceptance else overload
    return run_to_the_end(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
