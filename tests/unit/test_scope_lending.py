"""What a request lends its threads: what it has, or what it waits for."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from typing import Any

import MySQLdb
import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.pool.destination import Destination
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, READY
from pooled_db.pool.pool import Pool
from pooled_db.request.scope import Scope
from tests.destinations import ELSEWHERE, HERE


class Borrower:
    def __init__(self, *, has_atomic_block: bool = False) -> None:
        self.has_atomic_block = has_atomic_block
        self.detached = 0

    def detach(self) -> None:
        self.detached += 1


def refuse() -> Connection:
    raise MySQLdb.OperationalError(1045, "Access denied")


@pytest.fixture
def pool() -> Pool:
    return Pool("default", refuse, pool_size=2, timeout=0.01, home=HERE)


@pytest.fixture
def scope() -> Scope:
    return Scope()


class Fake:
    """A connection as far as it is looked at when it is lent."""

    after_rest: Any = None
    slot = None
    is_clean = True
    is_at_rest = True
    is_being_read = False
    in_query = False
    uncommitted = False
    rested = 0.0

    def let_go(self) -> bool:
        return True

    def has_open_cursor(self, besides: int | None = None) -> bool:
        return False

    def forget_last_statement(self) -> None: ...


@pytest.fixture
def taken(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> list[Loan]:
    """The loans that have taken a connection, of those that lead to no server."""
    taken: list[Loan] = []

    def take(loan: Loan) -> None:
        if loan.state is ADMITTED:
            loan.connection, loan.state = Fake(), READY  # type: ignore[assignment]
            taken.append(loan)

    monkeypatch.setattr(pool, "take", take)
    return taken


def lend(
    scope: Scope,
    pool: Pool,
    borrower: Borrower,
    destination: Destination = HERE,
    connect: Callable[[], Connection] = refuse,
) -> Loan:
    return scope.lend(pool, weakref.ref(borrower), (destination, connect))


def rest(loan: Loan) -> None:
    """Let nobody be about to use it."""
    loan.pins.clear()


def test_what_it_was_let_in_for_is_what_it_gets(
    scope: Scope, pool: Pool, taken: list[Loan]
) -> None:
    scope.admit(pool)
    (loan,) = scope.loans
    borrower = Borrower()
    for _ in range(2):
        assert lend(scope, pool, borrower) is loan
        rest(loan)
    assert taken == [loan]
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("has", ["nothing", "its admission", "what is at rest"])
def test_whoever_has_got_it_is_about_to_use_it(
    scope: Scope, pool: Pool, taken: list[Loan], has: str
) -> None:
    before, borrower = Borrower(), Borrower()
    if has == "its admission":
        scope.admit(pool)
    elif has == "what is at rest":
        rest(lend(scope, pool, before))
    loan = lend(scope, pool, borrower)
    assert taken == [loan]
    assert loan.borrower == weakref.ref(borrower)
    assert (loan.user, loan.pins) == (get_ident(), {get_ident()})
    scope.close()


def test_what_leads_elsewhere_takes_the_place_of_what_it_has_not_used(
    scope: Scope, pool: Pool, taken: list[Loan]
) -> None:
    scope.admit(pool)
    (unused,) = scope.loans
    borrower = Borrower()

    def connect() -> Connection:
        raise AssertionError("nobody connects here")

    loan = lend(scope, pool, borrower, ELSEWHERE, connect)
    assert (loan.destination, loan.opening) == (ELSEWHERE, connect)
    assert unused.over
    assert taken == [loan]
    assert pool.gate.free == 1
    scope.close()


@pytest.mark.parametrize("wanted", [HERE, ELSEWHERE])
def test_what_is_at_work_gets_a_second_one_besides_that_ends_with_it(
    scope: Scope, pool: Pool, taken: list[Loan], wanted: Destination
) -> None:
    first, second = Borrower(has_atomic_block=True), Borrower()

    def connect() -> Connection:
        raise AssertionError("nobody connects here")

    loan = lend(scope, pool, first)
    assert scope.in_atomic_block
    other = lend(scope, pool, second, wanted, connect)
    assert other is not loan
    assert (other.destination, other.opening) == (wanted, connect)
    assert (loan.borrower, other.borrower) == (weakref.ref(first), weakref.ref(second))
    assert scope.loans == [loan, other]
    assert pool.gate.free == 0
    scope.close()
    assert (loan.over, other.over, pool.gate.free) == (True, True, 2)


@pytest.mark.parametrize("leads_there", [False, True])
def test_who_waits_for_a_second_one_gets_the_first_at_rest_if_that_leads_there(
    scope: Scope,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    taken: list[Loan],
    leads_there: bool,
) -> None:
    first, second, others = Borrower(has_atomic_block=True), Borrower(), Scope()
    others.admit(pool)
    loan = lend(scope, pool, first)
    rest(loan)
    admit = pool.admit

    def rest_and_admit(*args: Any, **options: Any) -> Any:
        first.has_atomic_block = False
        return admit(*args, **options)

    monkeypatch.setattr(pool, "admit", rest_and_admit)
    if leads_there:
        assert lend(scope, pool, second) is loan
    else:
        with pytest.raises(PoolTimeout):
            lend(scope, pool, second, ELSEWHERE)
    assert taken == [loan]
    scope.close()
    others.close()


def test_what_is_taken_for_a_borrower_is_not_called_back_before_it_has_it(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch, taken: list[Loan]
) -> None:
    take = pool.take
    on_call: list[bool] = []

    def look(loan: Loan) -> None:
        on_call.append(loan.is_on_call)
        take(loan)
        on_call.append(loan.is_on_call)

    monkeypatch.setattr(pool, "take", look)
    lend(scope, pool, Borrower())
    assert on_call == [False, False]
    scope.close()


@pytest.mark.parametrize("here", [False, True])
def test_its_end_ends_a_transaction_of_the_thread_that_it_ends_in(
    scope: Scope, pool: Pool, taken: list[Loan], here: bool
) -> None:
    """Another thread may be in the middle of one, and is told by its next statement."""
    borrower = Borrower(has_atomic_block=True)
    if here:
        lend(scope, pool, borrower)
    else:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lend, scope, pool, borrower).result()
    scope.close()
    assert borrower.detached == here


def test_it_is_in_an_atomic_block_if_one_of_its_borrowers_is(
    scope: Scope, pool: Pool, taken: list[Loan]
) -> None:
    seen = [scope.in_atomic_block]
    borrower = Borrower()
    lend(scope, pool, borrower)
    seen.append(scope.in_atomic_block)
    borrower.has_atomic_block = True
    seen.append(scope.in_atomic_block)
    assert seen == [False, False, True]
    scope.close()


def test_of_two_threads_that_ask_first_at_once_one_gets_what_the_other_has(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch, taken: list[Loan]
) -> None:
    others: list[Loan] = []
    other, borrower = Borrower(), Borrower()
    new_loan = scope._new_loan

    def after_another(*args: Any) -> Loan:
        monkeypatch.setattr(scope, "_new_loan", new_loan)
        others.append(lend(scope, pool, other))
        rest(others[0])
        return new_loan(*args)

    monkeypatch.setattr(scope, "_new_loan", after_another)
    assert [lend(scope, pool, borrower)] == others == taken
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("other_has", ["taken it out", "put its own in"])
def test_two_threads_that_replace_what_has_ended_at_once_lose_nothing(
    scope: Scope, pool: Pool, taken: list[Loan], other_has: str
) -> None:
    class Raced(dict[Any, Loan]):
        """The other thread is at the same place, and a step ahead."""

        def pop(self, *args: Any) -> Any:
            scope._loans = dict(self)
            if other_has == "taken it out":
                scope._loans.pop(pool.alias)
            else:
                rest(lend(scope, pool, Borrower()))
            return scope._loans.pop(*args)

    scope.admit(pool)
    (ended,) = scope.loans
    scope.return_unused()
    scope._loans = Raced(scope._loans)
    assert lend(scope, pool, Borrower()) is taken[-1]
    assert ended not in scope.loans
    assert set(scope.loans) == set(taken)
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("is_admitted", [False, True])
def test_what_it_loses_before_it_has_it_leads_there_when_it_is_taken_again(
    scope: Scope,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    taken: list[Loan],
    is_admitted: bool,
) -> None:
    """As one that is called back for others at that moment."""
    wanted = HERE if is_admitted else ELSEWHERE
    if is_admitted:
        scope.admit(pool)
    lends = Loan.lend

    def lend_the_second(self: Loan, borrower: Any, thread: int) -> bool:
        if self is taken[0]:
            self.checkin()
            return False
        return lends(self, borrower, thread)

    def connect() -> Connection:
        raise AssertionError("nobody connects here")

    monkeypatch.setattr(Loan, "lend", lend_the_second)
    borrower = Borrower()
    loan = lend(scope, pool, borrower, wanted, connect)
    assert taken[1:] == [loan]
    assert (loan.destination, loan.opening) == (wanted, connect)
    assert (loan.borrower, loan.pins) == (weakref.ref(borrower), {get_ident()})
    # And it is what the others of the request have.
    rest(loan)
    assert lend(scope, pool, Borrower(), wanted, connect) is loan
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("is_early", [False, True])
def test_what_was_taken_before_the_middleware_ends_with_its_thread(
    scope: Scope, pool: Pool, taken: list[Loan], is_early: bool
) -> None:
    """Nobody may ever take the scope over, whose end would be the end of it."""
    scope.is_early = is_early
    with ThreadPoolExecutor(1) as thread:
        loan = thread.submit(lend, scope, pool, Borrower()).result()
        assert not loan.over
    assert loan.over is is_early
    scope.close()


@pytest.mark.parametrize("other_rests", [False, True])
def test_released_is_what_this_thread_works_with_and_what_nobody_does(
    scope: Scope, pool: Pool, taken: list[Loan], other_rests: bool
) -> None:
    mine, others = Borrower(has_atomic_block=True), Borrower()
    loan = lend(scope, pool, mine)
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(lend, scope, pool, others).result()
    rest(other)
    at_work: Any = other.connection
    at_work.is_at_rest = other_rests
    scope.release()
    assert (loan.over, other.over) == (True, other_rests)
    assert scope.is_open
    scope.close()


def test_a_thread_that_outlives_its_request_owns_what_it_gets(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch, taken: list[Loan]
) -> None:
    own = Loan(pool)
    asked: list[object] = []

    def checkout(borrower: object, leading: object) -> Loan:
        asked.append(leading)
        return own

    monkeypatch.setattr(pool, "checkout", checkout)
    scope.close()
    assert lend(scope, pool, Borrower()) is own
    assert asked == [(HERE, refuse)]
    assert pool.gate.free == 2
