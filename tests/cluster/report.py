"""What came of it: one table, and one picture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from demo.hammer.plot import KINDS

from .ledger import NO_ANSWER, Entry
from .run import Ordeal, Result, shares

BIN_SECONDS = 0.5
COLUMNS = (
    *("200", "503", "500", "none"),
    *("decides", "parts", "first good", "refused", "reads"),
)
MOST_ERRORS = 5
#: Okabe and Ito's palette, as far as the answers leave it.
NODE_COLOURS = ("#0072B2", "#56B4E9", "#CC79A7")


def table_of(result: Result, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("the node written to is")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for one in result.ordeals:
        table.add_row(one.fault, *_cells(one))
    table.add_section()
    statuses = result.statuses
    table.add_row("in all", *_counts(statuses))
    return table


def _cells(one: Ordeal) -> list[str | Text]:
    decided = "never" if one.decided is None else f"{one.decided - one.began:.1f} s"
    good = "never" if one.first_good is None else f"{one.first_good - one.known:.2f} s"
    after = "" if one.refused_after is None else f"{one.refused_after:.1%}"
    parted = "" if one.parted is None else f"{one.parted - one.began:.1f} s"
    return [*_counts(one.statuses), decided, parted, good, after, str(_total(one))]


def _total(one: Ordeal) -> int:
    return one.reads_refused.total()


def _counts(statuses: Counter[int]) -> list[str | Text]:
    bad = "red" if statuses[500] else ""
    none = "red" if statuses[NO_ANSWER] else ""
    return [
        str(statuses[200]),
        str(statuses[503]),
        Text(str(statuses[500]), bad),
        Text(str(statuses[NO_ANSWER]), none),
    ]


def lines_of(result: Result) -> list[str]:
    """What the table does not say."""
    took = result.spread_took
    even = "not" if took is None else f"{took:.0f} s after the last return"
    errors = Counter(result.errors).most_common(MOST_ERRORS)
    return [
        "decides: the proxy, for another node, after the fault; parts: the cluster",
        "first good: the first acknowledged order, after that, or after the return",
        "refused: of the orders from 2 s after it until the node is brought back",
        "reads: how many of those were refused, which any node could have answered",
        f"acknowledged orders that are lost: {result.lost}",
        f"stored, though refused with Retry-After: {result.stored_though_refused}",
        f"shares of the reads, before: {shares(result, result.spread_before)}",
        f"shares of the reads, at the end: {shares(result, result.spread_after)}",
        f"each node gives a fifth: {even}",
        *(f"{count} x {error}" for error, count in errors),
    ]


def save_picture(result: Result, path: Path) -> Path:
    """Write a PNG: answers over time, and from which nodes the reads came."""
    figure = Figure(figsize=(12, 6.5))
    answers, nodes = figure.subplots(2, 1, sharex=True)
    entries = result.ledger.entries
    _stack(
        answers,
        result,
        [
            (title, colour, [e for e in entries if belongs(e.status)])
            for title, colour, belongs in KINDS
        ],
    )
    answers.set_ylabel("answers per second")
    _stack(
        nodes,
        result,
        [
            (name, colour, [e for e in entries if e.kind == "read" and e.said == port])
            for (port, name), colour in zip(
                result.names.items(), NODE_COLOURS, strict=False
            )
        ],
    )
    nodes.set_ylabel("reads per second")
    nodes.set_xlabel("seconds")
    for axes in (answers, nodes):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        for one in result.ordeals:
            axes.axvspan(
                one.began - result.began,
                one.healed - result.began,
                color="#000000",
                alpha=0.08,
                linewidth=0,
            )
    top = answers.get_ylim()[1]
    for one in result.ordeals:
        answers.text(
            one.began - result.began, top, f"{one.node} is\n{one.fault}", fontsize=8
        )
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _stack(
    axes: Axes, result: Result, parts: list[tuple[str, str, list[Entry]]]
) -> None:
    bins = int((result.ended - result.began) / BIN_SECONDS) + 1
    starts = [number * BIN_SECONDS for number in range(bins)]
    bottom = [0.0] * bins
    for title, colour, entries in parts:
        counted = Counter(int((e.ended - result.began) / BIN_SECONDS) for e in entries)
        rates = [counted[number] / BIN_SECONDS for number in range(bins)]
        axes.bar(
            starts,
            rates,
            bottom=bottom,
            width=BIN_SECONDS,
            align="edge",
            color=colour,
            label=title,
        )
        bottom = [low + rate for low, rate in zip(bottom, rates, strict=True)]
