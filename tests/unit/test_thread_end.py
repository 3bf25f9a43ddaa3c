"""What goes back when a thread ends, and what does not."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db.pool import thread_end


class FakeLoan:
    """One that *user* has, as far as a thread's end is concerned with it."""

    pool = SimpleNamespace(alias="default")
    origin = None

    def __init__(self, user: int | None = None, *, is_out: bool = True) -> None:
        self.user = user
        self.is_out = is_out
        self.is_back = False

    def checkin(self) -> None:
        self.is_back = True


def after_a_thread(*loans: Any) -> list[bool]:
    """Which of *loans* are back when a thread that has taken them has ended."""

    def take() -> None:
        for loan in loans:
            loan.user = loan.user or threading.get_ident()
            thread_end.give_back_at_thread_end(loan)
        # Not before: it goes on with all of them.
        assert not any(loan.is_back for loan in loans)
        # As Python does it, at once.
        del thread_end._here.end

    with ThreadPoolExecutor(1) as thread:
        thread.submit(take).result()
    return [loan.is_back for loan in loans]


def test_all_that_a_thread_has_goes_back_when_it_ends() -> None:
    assert after_a_thread(FakeLoan(), FakeLoan()) == [True, True]


def test_what_others_have_or_what_is_back_stays_as_it_is() -> None:
    elsewhere = FakeLoan(threading.get_ident())
    assert after_a_thread(elsewhere, FakeLoan(is_out=False)) == [False, False]


@pytest.mark.parametrize(
    ("module", "function", "said"), [(os, "getpid", -1), (sys, "is_finalizing", True)]
)
def test_nothing_goes_back_in_a_forked_child_or_at_the_end_of_the_process(
    monkeypatch: pytest.MonkeyPatch, module: Any, function: str, said: object
) -> None:
    """What a child has is its parent's, and locks may be held there for ever."""

    loan: Any = FakeLoan()

    def take() -> None:
        loan.user = threading.get_ident()
        thread_end.give_back_at_thread_end(loan)
        with monkeypatch.context() as patch:
            patch.setattr(module, function, lambda: said)
            del thread_end._here.end

    with ThreadPoolExecutor(1) as thread:
        thread.submit(take).result()
    assert not loan.is_back
