"""The outcomes side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from demo.books import Books
from demo.hammer.comparison import Outcome
from demo.serving import MAX_CONNECTIONS
from demo.side_by_side import SideBySide
from tests.harness.load_report import NONE

NAMED = (200, 503, 500, NONE)


def comparison_table(outcomes: Sequence[Outcome]) -> SideBySide:
    backends = [outcome.backend for outcome in outcomes]
    table = SideBySide("The same overload on each", backends)
    row = table.row

    reports = [outcome.report for outcome in outcomes]
    row("answers: 200", *(good_if(report.counts[200]) for report in reports))
    row("503 (try again)", *(report.counts[503] for report in reports))
    row("500 (error)", *(bad_if(report.counts[500]) for report in reports))
    row("none", *(bad_if(report.counts[NONE]) for report in reports))
    row("other", *(bad_if(other(report.counts)) for report in reports), section=True)
    row("good answers per second", *(f"{r.good_per_second:.0f}" for r in reports))
    row("p50 of the good", *(f"{r.percentile(50, 200):.2f} s" for r in reports))
    row(
        "p99 of the good",
        *(f"{r.percentile(99, 200):.2f} s" for r in reports),
        section=True,
    )
    row(
        f"most connections (limit {MAX_CONNECTIONS})",
        *(outcome.connections.most for outcome in outcomes),
        section=True,
    )
    books = [outcome.books for outcome in outcomes]
    row("tickets sold", *(b.tickets_sold for b in books))
    row("orders stored", *(b.orders_stored for b in books))
    row("purchases answered 200", *(b.purchases_answered for b in books))
    row("these agree", *(verdict(b) for b in books))
    return table


def other(counts: dict[int, int]) -> int:
    return sum(count for status, count in counts.items() if status not in NAMED)


def good_if(count: int) -> Text:
    return Text(str(count), "green" if count else "")


def bad_if(count: int) -> Text:
    return Text(str(count), "red" if count else "")


def verdict(books: Books) -> Text:
    if books.balanced:
        return Text("OK", "bold green")
    return Text(
        f"NO: {books.orders_stored - books.tickets_sold:+} orders,"
        f" {books.purchases_answered - books.tickets_sold:+} answers",
        "bold white on red",
    )
