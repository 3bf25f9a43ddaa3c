"""What a refusal says of who holds the connections, and of who has waited."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.driver.slot import padded
from pooled_db.pool import holders
from pooled_db.pool.holders import Holders
from pooled_db.pool.loan import Loan
from pooled_db.pool.origin import origin
from pooled_db.pool.permit import LENT, TAKING
from pooled_db.pool.pool import Pool
from tests.clock import Clock


class Request:
    """One that waits as all others do."""

    receiving_since = None

    def describe(self) -> str:
        return "GET /"

    def label(self) -> str:
        return "GET /"

    def client(self) -> None:
        return None

    def has_priority(self) -> bool:
        return False


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


def newcomer(pool: Pool) -> Loan:
    request = Request()
    return Loan(pool, lambda: request)


def lent(pool: Pool, age: float = 0.0) -> Loan:
    loan = newcomer(pool)
    pool.admit(loan, age)
    connection: Any = SimpleNamespace(is_at_rest=False)
    loan.connection = connection
    loan.state = LENT
    return loan


def refused(pool: Pool, loan: Loan) -> PoolTimeout:
    with pytest.raises(PoolTimeout) as refusal:
        pool.admit(loan)
    return refusal.value


def test_who_waits_for_its_connection_to_be_opened_is_named_too() -> None:
    """As all are while the server does not answer."""
    pool = Pool("default", connect, pool_size=1, max_waiting=0)
    opening = newcomer(pool)
    pool.admit(opening)
    opening.state = TAKING

    said = str(refused(pool, newcomer(pool)))

    assert "GET /, whose connection is being opened, for 0.0 s, at work." in said
    pool.gate.release(opening)


def test_who_has_asked_for_none_yet_hides_nobody() -> None:
    pool = Pool("default", connect, pool_size=2, max_waiting=0)
    admitted = newcomer(pool)
    pool.admit(admitted)
    at_work = lent(pool)
    assert len(refused(pool, newcomer(pool)).holders) == 1
    for loan in (admitted, at_work):
        pool.gate.release(loan)


def test_what_a_request_holds_is_not_told_to_the_next_that_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Newcomers are told the same, but who waits for its turn is none."""
    monkeypatch.setattr(holders, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    pool = Pool("default", connect, pool_size=1, max_waiting=0)
    loan = lent(pool)

    turn = pool.refuse_turn(loan, 5.0)
    first, second = (refused(pool, newcomer(pool)) for _ in range(2))
    again = pool.refuse_turn(loan, 5.0)

    for one in (turn, again):
        assert (len(one.own), len(one.holders)) == (1, 0)
    for one in (first, second):
        assert (len(one.own), len(one.holders)) == (0, 1)


def test_newcomers_are_told_the_same_for_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever has begun is told what is true now, and tells it to nobody else."""
    clock = Clock(0.0)
    monkeypatch.setattr(holders, "time", SimpleNamespace(monotonic=clock))
    pool = Pool("default", connect, pool_size=1, max_waiting=0)
    lent(pool).since = -1.0

    def held_for(*, begun: bool = False) -> float:
        loan = newcomer(pool)
        loan.begun = begun
        (holder,) = refused(pool, loan).holders
        return holder.held

    told = []
    for clock.now in (0.0, 0.05, 0.1):
        told.append((held_for(), held_for(begun=True)))
    assert told == [(1.0, 1.0), (1.0, 1.05), (1.1, 1.1)]


def test_those_three_are_named_who_have_had_theirs_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holders, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    pool = Pool("default", connect, pool_size=4)
    loans = [lent(pool) for _ in range(4)]
    for loan, since in zip(loans, (997.0, 999.0, 996.0, 998.0), strict=True):
        loan.since = since
    _, others = Holders(lambda: loans).described_for(newcomer(pool))
    assert [holder.held for holder in others] == [4.0, 3.0, 2.0]


@pytest.mark.parametrize(
    ("since_work", "rested"),
    # It may come to rest while others look at it.
    [(0.5, 0.5), (0.0, 0.0), (-0.25, 0.0)],
)
def test_for_how_long_nobody_has_worked_with_it_is_told(
    monkeypatch: pytest.MonkeyPatch, since_work: float, rested: float
) -> None:
    monkeypatch.setattr(holders, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    pool = Pool("default", connect, pool_size=1, max_waiting=0)
    loan = lent(pool)
    loan.since = 990.0
    connection: Any = SimpleNamespace(is_at_rest=True, rested=1000.0 - since_work)
    loan.connection = connection
    (holder,) = refused(pool, newcomer(pool)).holders
    assert (holder.held, holder.rested) == (10.0, rested)
    (own,) = pool.refuse_turn(loan, 5.0).own
    assert (own.held, own.rested) == (10.0, rested)


def test_a_request_is_named_with_the_line_and_the_thread_that_took_it() -> None:
    pool = Pool("default", connect, pool_size=1, max_waiting=0)
    here = lent(pool).origin = origin()
    (holder,) = refused(pool, newcomer(pool)).holders
    assert holder.who == (
        f"GET /, taken at {__file__}:{here.line} in {here.code.co_name}, by thread "
        f"{threading.current_thread().name!r},"
    )


def test_outside_of_requests_what_its_thread_has_is_its_own() -> None:
    pool = Pool("default", connect, pool_size=3, max_waiting=0)
    loans = [lent(pool) for _ in range(3)]
    mine, of_another_thread, of_a_request = loans
    mine.requester = of_another_thread.requester = None
    mine.user, of_another_thread.user = threading.get_ident(), 11
    of_a_request.user = 12

    error = refused(pool, Loan(pool))

    assert [holder.thread for holder in error.own] == [mine.user]
    assert {holder.thread for holder in error.holders} == {11, 12}


def test_for_how_long_one_is_being_opened_counts_from_its_permit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those come first who have had theirs for longest. Who waits has none."""
    monkeypatch.setattr(holders, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    pool = Pool("default", connect, pool_size=3, max_waiting=0)
    held, opening, admitted = lent(pool), newcomer(pool), newcomer(pool)
    pool.admit(opening)
    pool.admit(admitted)
    held.since = 995.0
    opening.state, opening.arrived, opening.waited = TAKING, 990.0, 3.0
    error = refused(pool, newcomer(pool))
    assert [holder.held for holder in error.holders] == [7.0, 5.0]


def test_what_a_request_held_that_is_gone_was_taken_at_its_start() -> None:
    pool = Pool("default", connect, pool_size=1, max_waiting=0)
    lent(pool).requester = lambda: None
    (holder,) = refused(pool, newcomer(pool)).holders
    assert holder.who == "taken at the start of a request"


def test_who_waited_for_its_turn_has_waited_for_that_long_however_old_its_request() -> (
    None
):
    pool = Pool("default", connect, pool_size=1, timeout=5.0)
    assert pool.refuse_turn(lent(pool, age=4.0), 5.0).waited == 5.0


def test_a_path_begins_no_line_and_commands_no_terminal() -> None:
    """Neither in the log nor in the table of ``manage.py pools``."""
    path = "GET /x\n503 for 1 request(s)\x1b[2J\u2028\x9b2J\udc80/größe"
    pool = Pool("default", connect, pool_size=1, max_waiting=0)
    request = Request()
    request.describe = lambda: path  # type: ignore[method-assign]
    loan = Loan(pool, lambda: request)
    pool.admit(loan, 0.0)
    connection: Any = SimpleNamespace(is_at_rest=False)
    loan.connection, loan.state = connection, LENT

    error = str(refused(pool, newcomer(pool)))

    for text in (error, padded(path).rstrip(b"\0").decode()):
        assert text.isprintable()
        assert r"GET /x\n503 for 1 request(s)\x1b[2J" in text
    assert padded("GET /größe").decode().startswith("GET /größe\0")
