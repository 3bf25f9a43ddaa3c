"""Requests that hold all connections, and wait for another in another thread."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import LENT
from pooled_db.pool.pool import Pool
from pooled_db.pool.stall import STANDSTILL, after_fork, begin_waiting, last_in_vain
from tests.gates import LONG


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


class Request:
    """Whose loans they are; referred to as a scope is."""

    def __call__(self) -> Any:
        return self

    receiving_since = None


class FakeConnection:
    """A connection as far as it is judged here: in an atomic block, say."""

    is_at_rest = False

    def __init__(self, rested: float, *, in_statement: bool = False) -> None:
        self.rested = rested
        self.in_statement = in_statement


class Joining:
    """Two of two have a connection in an atomic block, and wait in another thread."""

    def __init__(self) -> None:
        self.pool = Pool("default", connect, pool_size=2)
        self.now = time.monotonic() + STANDSTILL + LONG / 2
        # One thread for each: it is by its thread that is known who waits.
        self.threads: list[ThreadPoolExecutor] = []
        requests = Request(), Request()
        self.held = [self.ask(request) for request in requests]
        self.waiting = [self.ask(request) for request in requests]

    def ask(self, request: Any) -> Loan:
        loan = Loan(self.pool, request)
        loan.begun = True
        if self.pool.gate.enter(loan, LONG):
            loan.state = LENT
            loan.user = object()  # type: ignore[assignment]
            connection: Any = FakeConnection(self.now - STANDSTILL)
            loan.connection = connection
        else:
            self.begin_waiting(loan)
        return loan

    def begin_waiting(self, loan: Loan) -> None:
        self.threads.append(ThreadPoolExecutor(1))
        self.threads[-1].submit(begin_waiting, loan).result()

    def thread_of(self, number: int) -> int:
        return self.threads[number].submit(threading.get_ident).result()

    def close(self) -> None:
        for thread in self.threads:
            thread.shutdown()
        after_fork()

    def connection(self, number: int) -> Any:
        return self.held[number].connection

    def last_in_vain(self) -> Loan | None:
        return last_in_vain(self.waiting, self.now)


class Executors(Joining):
    """They wait in threads of executors, which know of no request."""

    def __init__(self) -> None:
        self._goes_on = threading.Event()
        super().__init__()

    def ask(self, request: Any) -> Loan:
        holds = self.pool.gate.free > 0
        loan = super().ask(request if holds else None)
        if holds:
            joins = threading.Thread(target=self._goes_on.wait)
            joins.start()
            loan.user = joins.ident
        else:
            loan.arrived -= LONG
        return loan

    def close(self) -> None:
        self._goes_on.set()
        super().close()
