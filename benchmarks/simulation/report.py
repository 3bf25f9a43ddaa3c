"""Tables and a plot of what the simulation found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table

from benchmarks.simulation.engine import Scenario
from benchmarks.simulation.outcome import STEP
from benchmarks.simulation.runs import HAMMERING, LARGE_SITE, REFINING, THREADS, Result
from benchmarks.simulation.scenarios import FLASH, STOP

# Okabe and Ito's palette, for colour-blind eyes.
COLOURS = {
    "FIFO, 30 s": "#444444",
    "FIFO, 5 s": "#E69F00",
    "adaptive LIFO": "#56B4E9",
    "plain CoDel": "#CC79A7",
    "the gate": "#009E73",
}
PLOTTED = (STOP, FLASH)


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f}" if value else "0"


def thousands(value: float) -> str:
    return f"{value:,.0f}"


Column = tuple[str, Callable[[Result], str]]

COLUMNS: Sequence[Column] = (
    ("scenario", lambda result: result.run.scenario.name),
    ("policy", lambda result: result.run.policy.name),
    ("good", lambda result: share(result.good)),
    ("after", lambda result: share(result.good_after)),
    ("wait p50", lambda result: seconds(result.wait_p50)),
    ("wait p99", lambda result: seconds(result.wait_p99)),
    ("503 p99", lambda result: seconds(result.refusal_p99)),
    ("refused %", lambda result: percent(result.refused)),
    ("late %", lambda result: percent(result.late)),
    ("attempts", lambda result: f"{result.attempts:.1f}"),
    ("idle", lambda result: seconds(result.idle)),
    ("recovery", lambda result: seconds(result.recovery)),
)
OF_LARGE_SITE: Sequence[Column] = (
    ("arrivals/s", lambda result: thousands(result.arrivals_per_second)),
    ("events/s of this run", lambda result: thousands(result.events_per_second)),
)

#: By column, what need not be said.
NOTHING: defaultdict[str, tuple[str, ...]] = defaultdict(
    lambda: ("",), {"late %": ("0",), "attempts": ("1.0",)}
)

LEGEND = """\
One process has 10 connections, and a query takes 50 ms on average, where nothing else
is said. *n* x is a load of *n* times what the database can serve. All times are in
seconds.

- **good**: answers within the client's patience of 10 s, during the hard time, as a
  share of what the database can serve; **after**: the same afterwards
- **wait**: of the good, from the client's first attempt until it has a connection
- **503 p99**: how long a refused attempt took
- **refused**: clients that never got an answer but a 503; **late**: clients that were
  served when they had gone
- **attempts** of each client, on average
- **idle**: the longest that a connection idled while the load was above 1
- **recovery**: from the end of the hard time until 19 of 20 who come wait for less than
  0.5 s, and it stays so
"""
NOTES = {
    REFINING: """\
A, B and C are in the gate. *A reserve*: nobody is shed while no more wait than there
are connections. *B early*: a newcomer who would wait for twice the target is refused at
once. *C relapse*: an overload that returns soon is recognised sooner. *D until empty*:
it is over when nobody waits, not when somebody was served within the target.""",
    HAMMERING: """\
The figures are those of the others, 1,000 clients: good answers as a share of what the
database can serve, of which they ask for the first number.""",
    THREADS: """\
A process takes so many requests at once; the others stand before it, where the gate
does not see them. *max_waiting*: half as many as there are threads without a
connection. *REQUEST_START_HEADER*: the time before the process shortens `timeout`.
*age counted as waiting*: it counts for shedding too (A, B and D, a model).""",
    LARGE_SITE: """\
Each of the 1,000 processes has a gate of its own; queries take 50 ms, then 200 ms.""",
}


def columns_of(table: str, rows: Sequence[Result]) -> Sequence[Column]:
    """Return the columns in which anything is said."""
    all_of_them = (*COLUMNS, *OF_LARGE_SITE) if table == LARGE_SITE else COLUMNS
    return [
        (name, cell)
        for name, cell in all_of_them
        if any(cell(row) not in NOTHING[name] for row in rows)
    ]


def tables(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    for table, rows in groupby(results, key=lambda result: result.run.table):
        yield table, list(rows)


def print_tables(results: Sequence[Result], console: Console) -> None:
    for name, rows in tables(results):
        columns = columns_of(name, rows)[1:]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for place, (column, _) in enumerate(columns):
            justify: JustifyMethod = "right" if place else "left"
            table.add_column(column, justify=justify, no_wrap=True)
        for scenario, here in groupby(rows, key=lambda row: row.run.scenario):
            table.add_row(f"[bold]{scenario.name}")
            for row in here:
                table.add_row(*(cell(row) for _, cell in columns))
        console.print(f"[bold]{name}[/]\n", table)


def markdown(results: Sequence[Result], plot: str) -> str:
    return "\n".join(
        [
            "# Simulated overload",
            "",
            "Written by `make simulate`.",
            "",
            LEGEND,
            f"![Good answers over time]({plot})",
            *(line for name, rows in tables(results) for line in _section(name, rows)),
            "",
        ]
    )


def _section(name: str, rows: Sequence[Result]) -> Iterator[str]:
    columns = columns_of(name, rows)
    yield f"\n## {name}\n"
    if name in NOTES:
        yield f"{NOTES[name]}\n"
    yield _line([column for column, _ in columns])
    yield _line(["---", "---", *["---:"] * (len(columns) - 2)])
    for row in rows:
        yield _line([cell(row) for _, cell in columns])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def save_plot(results: Sequence[Result], path: Path) -> None:
    """Write a PNG of good answers and waits over time, a row for each scenario."""
    figure = Figure(figsize=(12, 3.2 * len(PLOTTED) + 0.4))
    rows = figure.subplots(len(PLOTTED), 2, sharex="row")
    for (good, wait), scenario in zip(rows, PLOTTED, strict=True):
        for result in _plotted(results, scenario):
            _draw(good, result, result.good_by_step)
            _draw(wait, result, result.wait_by_step)
        good.set_title(f"{scenario.name}: good answers / possible", loc="left")
        good.set_ylim(0, 1.25)
        wait.set_title("median wait, seconds", loc="left")
        for panel in (good, wait):
            panel.axvspan(*scenario.episode, color="#EEEEEE")
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_xlabel("seconds")
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _plotted(results: Sequence[Result], scenario: Scenario) -> Iterator[Result]:
    """One result of each policy that has a colour; some are in two tables."""
    for name in COLOURS:
        yield from [
            result
            for result in results
            if result.run.scenario == scenario and result.run.policy.name == name
        ][:1]


def _draw(panel: Axes, result: Result, values: Sequence[float | None]) -> None:
    name = result.run.policy.name
    times = [step * STEP for step in range(len(values))]
    heights = [float("nan") if value is None else value for value in values]
    panel.step(times, heights, color=COLOURS[name], label=name, where="post")
