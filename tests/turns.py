"""A loan whose threads take turns, on a connection to nowhere."""

from __future__ import annotations

from typing import Any

from pooled_db.driver.connection import Connection
from pooled_db.driver.slot import SIZE, Slot, padded
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import READY
from pooled_db.pool.pool import Pool
from pooled_db.pool.turn import BorrowerRef, Turn

FIRST, SECOND, THIRD = 11, 12, 13
BEFORE = padded("GET /whose-it-was")


class FakeConnection:
    """A connection as far as those look at it who take turns."""

    after_rest: Any = None
    is_clean = True
    is_at_rest = True
    is_being_read = False
    in_query = False
    uncommitted = False
    cursors: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.slot = Slot(memoryview(bytearray(8 * SIZE)))
        self.slot.text[:] = BEFORE
        self.forgotten = 0

    def forget_last_statement(self) -> None:
        self.forgotten += 1

    def has_open_cursor(self, besides: int | None = None) -> bool:
        return any(thread != besides for thread in self.cursors)

    def let_go(self) -> bool:
        return True

    def end_statement(self) -> None:
        """Do what the driver's connection does when a statement has ended."""
        after_rest, self.after_rest = self.after_rest, None
        if after_rest is not None:
            after_rest()


class Request:
    receiving_since = None

    def label(self) -> str:
        return "GET /whose-it-is"


class Borrower:
    has_atomic_block = False

    def detach(self) -> None: ...


def borrower() -> Borrower:
    """Refer to the one that there is."""
    return Borrower()


def in_a_transaction() -> Borrower:
    """Refer to another one, which is in the middle of something."""
    other = Borrower()
    other.has_atomic_block = True
    return other


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


class TakesTurns(Loan):
    """A loan of the threads of one request, that says what becomes of it."""

    discarded = 0

    def discard(self) -> None:
        self.discarded += 1


def made(connection: FakeConnection | None) -> TakesTurns:
    """Make one that nobody has used yet."""
    request: Any = Request()
    pool = Pool("default", connect, pool_size=1, timeout=0.01)
    loan = TakesTurns(pool, lambda: request)
    loan.connection = connection  # type: ignore[assignment]
    loan.state = READY
    return loan


def lent_to_the_first(connection: FakeConnection) -> TakesTurns:
    """Make one that the first thread has, and is not using."""
    loan = made(connection)
    assert loan.lend(borrower, FIRST)
    loan.pins.clear()
    connection.slot.text[:] = BEFORE
    return loan


def queue_up(
    loan: Loan,
    thread: int,
    permit: Loan | None = None,
    borrower: BorrowerRef = borrower,
) -> Turn:
    turn = Turn(thread, borrower, permit)
    assert loan.queue_up(turn)
    return turn
