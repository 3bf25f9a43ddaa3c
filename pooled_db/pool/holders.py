"""Who holds the connections, in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from .loan import Loan
from .origin import describe

#: How many of the others a refusal names.
NAMED = 3


def describe_holders(
    lent: Iterable[Loan], asking: Loan
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Describe what whoever asks holds already, and who has held others for longest."""
    now = time.monotonic()
    here = threading.get_ident()
    own: list[Loan] = []
    others: list[Loan] = []
    for loan in list(lent):
        mine = (
            loan.user == here
            if asking.requester is None
            else loan.requester is asking.requester
        )
        (own if mine else others).append(loan)
    others.sort(key=_since)
    return (
        tuple(_describe(loan, now) for loan in own),
        tuple(_describe(loan, now) for loan in others[:NAMED]),
    )


def _since(loan: Loan) -> float:
    return loan.since


def _describe(loan: Loan, now: float) -> str:
    requester = loan.requester() if loan.requester is not None else None
    if requester is not None:
        who = f"for {requester.describe()}"
    else:
        who = f"taken {describe(loan.origin)}"
    resting = loan.resting_since()
    if resting is None:
        state = "at work"
    else:
        state = f"at rest for {max(0.0, now - resting):.1f} s"
    thread = _thread_name(loan.user)
    return f"{who} for {now - loan.since:.1f} s, {state}{thread}"


def _thread_name(thread: int | None) -> str:
    for each in threading.enumerate():
        if each.ident == thread:
            return f", by thread {each.name!r}"
    return ""
