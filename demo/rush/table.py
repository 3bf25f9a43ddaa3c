"""What became of the people, site by site."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from demo.books import Books
from demo.rush.outcome import Outcome
from demo.rush.visit import Doing
from demo.serving import MAX_CONNECTIONS
from demo.side_by_side import SideBySide


def rush_table(outcomes: Sequence[Outcome]) -> SideBySide:
    people = outcomes[0].seen.people
    backends = [outcome.backend for outcome in outcomes]
    table = SideBySide(f"Of {people:,} people", backends)
    row = table.row

    def ended(doing: Doing, colour: str) -> list[Text]:
        counts = [outcome.endings[doing] for outcome in outcomes]
        return [Text(f"{n:,}", colour if n else "") for n in counts]

    def ever(doing: Doing) -> list[str]:
        return [f"{outcome.ever(doing):,}" for outcome in outcomes]

    def within(percent: float) -> list[str]:
        return [seconds(outcome.time_to_buy(percent)) for outcome in outcomes]

    row("bought a ticket", *ended(Doing.BOUGHT, "bold green"))
    row("gave up: it took too long", *ended(Doing.TIRED, "yellow"))
    row("left after errors", *ended(Doing.PUT_OFF, "red"), section=True)
    row("saw an error page (500)", *ever(Doing.AT_AN_ERROR))
    row("were asked to wait (503)", *ever(Doing.ASKED_TO_WAIT), section=True)
    row("half of the buyers within", *within(50))
    row("99 % of the buyers within", *within(99), section=True)
    most = [outcome.connections.most for outcome in outcomes]
    row(f"connections at once (of {MAX_CONNECTIONS})", *most)
    opened = [f"{outcome.connections.opened:,}" for outcome in outcomes]
    row("connections opened, or tried", *opened, section=True)
    books = [outcome.books for outcome in outcomes]
    row("tickets sold", *(f"{one.tickets_sold:,}" for one in books))
    row("orders stored", *(f"{one.orders_stored:,}" for one in books))
    row("buyers who were told so", *(f"{one.purchases_answered:,}" for one in books))
    row("these agree", *(verdict(one) for one in books))
    return table


def seconds(value: float) -> str:
    return f"{value:.1f} s" if value == value else "–"  # noqa: RUF001  nan


def verdict(books: Books) -> Text:
    if books.balanced:
        return Text("yes", "bold green")
    if books.tickets_sold == books.orders_stored > books.purchases_answered:
        unseen = books.tickets_sold - books.purchases_answered
        return Text(f"{unseen:,} sold to people who had left", "bold red")
    return Text("NO: the books are wrong", "bold white on red")
