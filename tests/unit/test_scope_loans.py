"""The loans of a request, whatever ends, fails or leads elsewhere in between."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import MySQLdb
import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.pool.destination import Destination
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, READY
from pooled_db.pool.pool import Pool, outsiders
from pooled_db.request.scope import Scope
from tests.destinations import ELSEWHERE, HERE
from tests.loans import admit


class Borrower:
    def __init__(self, *, has_transaction: bool = False) -> None:
        self.has_transaction = has_transaction

    def detach(self) -> None: ...


def refuse() -> Connection:
    raise MySQLdb.OperationalError(1045, "Access denied")


def make_pool(size: int = 2) -> Pool:
    return Pool("default", refuse, pool_size=size, timeout=0.01, home=HERE)


@pytest.fixture
def pool() -> Pool:
    return make_pool()


@pytest.fixture
def scope() -> Scope:
    return Scope()


both = pytest.mark.parametrize("is_async", [False, True])


def test_it_shows_whether_it_is_over(scope: Scope, pool: Pool) -> None:
    scope.admit(pool)
    assert repr(scope) == "<Scope: open, 1 loans>"
    scope.close()
    assert repr(scope) == "<Scope: closed, 0 loans>"


def test_what_nobody_has_ended_goes_back_when_it_is_collected(pool: Pool) -> None:
    scope = Scope()
    scope.admit(pool)
    del scope
    gc.collect()
    assert pool.gate.free == 2


@both
def test_whoever_is_refused_has_nothing(scope: Scope, is_async: bool) -> None:
    pool = make_pool(1)
    others = Loan(pool)
    pool.admit(others)
    with pytest.raises(PoolTimeout):
        admit(scope, pool, is_async=is_async)
    assert not scope.was_admitted
    assert scope.loans == []
    others.checkin()
    assert pool.gate.free == 1


@both
def test_an_interrupt_between_being_let_in_and_keeping_it_loses_nothing(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    def interrupt(self: Scope, loan: Loan) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Scope, "_keep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        admit(scope, pool, is_async=is_async)
    assert pool.gate.free == 2


@both
def test_whoever_is_let_in_when_its_request_has_just_ended_has_nothing(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """The end is noted before what it has is taken out: of it, and of what it had."""
    scope.admit(pool)
    following = make_pool()

    let_in, let_in_async = following.admit, following.admit_async

    def admit_at_the_end(loan: Loan, age: float = 0.0) -> Loan:
        let_in(loan, age)
        scope.is_open = False
        return loan

    async def admit_async_at_the_end(loan: Loan, age: float = 0.0) -> None:
        await let_in_async(loan, age)
        scope.is_open = False

    monkeypatch.setattr(following, "admit", admit_at_the_end)
    monkeypatch.setattr(following, "admit_async", admit_async_at_the_end)
    admit(scope, following, is_async=is_async)
    assert (pool.gate.free, following.gate.free) == (2, 2)


def test_what_has_ended_is_not_kept_when_another_takes_its_place(
    scope: Scope, pool: Pool
) -> None:
    scope.admit(pool)
    (before,) = scope.loans
    before.checkin()
    scope.admit(pool)
    assert len(scope.loans) == 1
    assert before not in scope.loans
    scope.close()


# With what the request has been let in before.


def test_a_door_waits_for_no_server_for_the_second_alias_either(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope.admit(make_pool())
    idle: list[Loan] = []
    monkeypatch.setattr(pool, "take_idle", idle.append)
    monkeypatch.setattr(pool, "take", pytest.fail)
    scope.check_out(pool, idle_only=True)
    (loan,) = idle
    assert loan in scope.loans
    assert (loan.state, pool.gate.free) == (ADMITTED, 1)
    scope.close()


def adopted(scope: Scope, pool: Pool) -> Loan:
    loan = Loan(pool)
    pool.admit(loan)
    outsiders.add(loan)
    scope.adopt(pool, loan, ends_with_it=True)
    return loan


def test_what_a_door_has_taken_goes_back_if_the_thread_has_one(
    scope: Scope, pool: Pool
) -> None:
    scope.admit(pool)
    (unused,) = scope.loans
    loan = adopted(scope, pool)
    assert (unused.over, loan.over) == (True, False)
    assert pool.gate.free == 1
    assert loan not in outsiders
    scope.adopt(pool, loan, ends_with_it=True)
    assert not loan.over
    scope.close()
    assert pool.gate.free == 2


# Lending.


class Fake:
    """A connection as far as it is looked at when it is lent."""

    after_rest: Any = None
    slot = None
    is_clean = True
    is_at_rest = True
    is_being_read = False
    in_query = False
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


def test_what_is_at_work_gets_a_second_one_besides_that_ends_with_it(
    scope: Scope, pool: Pool, taken: list[Loan]
) -> None:
    first, second = Borrower(has_transaction=True), Borrower()
    loan = lend(scope, pool, first)
    assert scope.in_atomic_block
    other = lend(scope, pool, second)
    assert other is not loan
    assert {*scope.loans} == {loan, other}
    assert pool.gate.free == 0
    scope.close()
    assert (loan.over, other.over, pool.gate.free) == (True, True, 2)


def test_it_is_in_an_atomic_block_if_one_of_its_borrowers_is(
    scope: Scope, pool: Pool, taken: list[Loan]
) -> None:
    seen = [scope.in_atomic_block]
    borrower = Borrower()
    lend(scope, pool, borrower)
    seen.append(scope.in_atomic_block)
    borrower.has_transaction = True
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
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("other_rests", [False, True])
def test_released_is_what_this_thread_works_with_and_what_nobody_does(
    scope: Scope, pool: Pool, taken: list[Loan], other_rests: bool
) -> None:
    mine, others = Borrower(has_transaction=True), Borrower()
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


def test_all_go_back_even_if_one_fails(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = [pool, make_pool(), make_pool()]
    for number, one in enumerate(pools):
        one.alias = str(number)
        scope.admit(one)
    failing = scope.loans[1]
    check_in = Loan.checkin

    def checkin(self: Loan, keep: bool = True) -> None:
        if self is failing:
            raise KeyboardInterrupt
        check_in(self, keep)

    monkeypatch.setattr(Loan, "checkin", checkin)
    with pytest.raises(KeyboardInterrupt):
        scope.return_unused()
    assert [one.gate.free for one in pools] == [2, 1, 2]
    monkeypatch.undo()
    scope.close()
