"""What must be true after a soak, whatever has happened in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.harness.processes import poll

from .bank import OPENING_BALANCE, POOL_SIZE, Bank
from .clients import ACCOUNTS, Outcome, Transfer

NEVER = (Outcome.WRONG_TOKEN, Outcome.ERROR, Outcome.NONE)
NOT_STORED = (Outcome.LOOKED, Outcome.BUSY, Outcome.RETRY)
MOST_EXAMPLES = 3


def violations(bank: Bank, transfers: list[Transfer]) -> Iterator[str]:
    """Say what is wrong with the bank's books, and with the pool at rest."""
    if not poll(lambda: _at_rest(bank)):
        yield f"not at rest: {bank.site.state()}, {bank.server.process_list()}"
    yield from _wrong_books(bank)
    yield from _wrong_answers(bank, transfers)
    if "never given back" in bank.site.server.log():
        yield "a connection was never given back: see the site's log"


def _at_rest(bank: Bank) -> bool:
    processes = bank.server.process_list()
    return (
        bank.site.at_rest()
        and len(processes) <= POOL_SIZE
        and bank.server.open_transactions() == 0
    )


def _wrong_books(bank: Bank) -> Iterator[str]:
    ((total,),) = bank.ask("SELECT SUM(balance) FROM soak_account")
    if total != ACCOUNTS * OPENING_BALANCE:
        yield f"money was made or lost: {total - ACCOUNTS * OPENING_BALANCE:+}"
    moved: Counter[int] = Counter()
    for source, target, amount in bank.ask(
        "SELECT source_id, target_id, amount FROM soak_transfer"
    ):
        moved[source] -= amount
        moved[target] += amount
    for account, balance in bank.ask("SELECT id, balance FROM soak_account"):
        if balance != OPENING_BALANCE + moved[account]:
            yield f"account {account} does not match its transfers"


def _wrong_answers(bank: Bank, transfers: list[Transfer]) -> Iterator[str]:
    stored = Counter(token for (token,) in bank.ask("SELECT token FROM soak_transfer"))
    wrong: dict[str, list[str]] = {}
    for transfer in transfers:
        for rule in _broken_rules(transfer.outcome, stored.pop(transfer.token, 0)):
            wrong.setdefault(rule, []).append(f"{transfer.token} {transfer.detail}")
    if stored:
        wrong["stored, though nobody asked for it"] = list(stored)
    for rule, examples in wrong.items():
        yield f"{len(examples)} times {rule}, as {examples[:MOST_EXAMPLES]}"


def _broken_rules(outcome: Outcome, stored: int) -> Iterator[str]:
    if outcome in NEVER:
        yield outcome.value
    if stored > 1:
        yield f"{outcome.value!r} stored {stored} times"
    if outcome is Outcome.DONE and not stored:
        yield f"{outcome.value!r} not stored"
    if outcome in NOT_STORED and stored:
        yield f"{outcome.value!r} stored"
