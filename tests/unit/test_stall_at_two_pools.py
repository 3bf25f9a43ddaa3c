"""Who waits at one pool for what another waits to give back at the other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import LENT
from pooled_db.pool.pool import Pool
from pooled_db.pool.stall import after_fork, begin_waiting, is_stalled
from tests.gates import LONG
from tests.stalls import FakeConnection, Request, connect


@pytest.mark.parametrize("first_waits_in", ["its thread", "another thread"])
@pytest.mark.parametrize("last_waits_in", ["its thread", "another thread"])
@pytest.mark.parametrize("is_in_statement", [False, True])
def test_of_two_who_hold_one_each_and_wait_for_the_others_the_last_is_stalled(
    first_waits_in: str, last_waits_in: str, is_in_statement: bool
) -> None:
    """Unless one is in a statement, whose thread is another than the one that waits."""
    pools = [Pool(alias, connect, pool_size=1) for alias in ("one", "other")]
    requests: list[Any] = [Request(), Request()]
    waits_in = (first_waits_in, last_waits_in)

    def ask(number: int, pool: Pool) -> Loan:
        loan = Loan(pool, requests[number])
        loan.begun = True
        pool.gate.enter(loan, LONG)
        loan.arrived -= LONG
        return loan

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as last:
        threads = (first, last)
        for number, thread in enumerate(threads):
            held = ask(number, pools[number])
            held.state = LENT
            connection: Any = FakeConnection(0.0, in_statement=is_in_statement)
            held.connection = connection
            own = thread.submit(threading.get_ident).result()
            held.user = own if waits_in[number] == "its thread" else -1 - number
        for number, thread in enumerate(threads):
            wanted = ask(number, pools[1 - number])
            thread.submit(begin_waiting, wanted).result()
        stalled = last.submit(is_stalled, wanted).result()
    after_fork()  # nobody waits any more
    goes_on = is_in_statement and "another thread" in waits_in
    assert stalled is not goes_on
