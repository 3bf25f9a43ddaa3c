"""Nobody waits for what cannot come: of those who wait for each other one gives up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import LENT
from pooled_db.pool.pool import Pool
from pooled_db.pool.stall import begin_waiting, end_waiting, is_stalled
from tests.gates import LONG


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


def another(pool: Pool) -> Loan:
    loan = Loan(pool)
    loan.begun = True
    pool.gate.enter(loan, LONG)
    return loan


def test_of_two_who_begin_to_wait_at_once_one_gives_up() -> None:
    """Each is in line before either looks."""
    pool = Pool("default", connect, pool_size=2)

    def hold_one() -> None:
        held = another(pool)
        held.user = threading.get_ident()
        held.state = LENT

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        threads = (one, other)
        for thread in threads:
            thread.submit(hold_one).result()
        wanted = [another(pool) for _ in threads]
        for thread, loan in zip(threads, wanted, strict=True):
            thread.submit(begin_waiting, loan).result()
        stalled = [
            thread.submit(is_stalled, loan).result()
            for thread, loan in zip(threads, wanted, strict=True)
        ]
        other.submit(end_waiting, wanted[1]).result()

    assert stalled == [True, False]
