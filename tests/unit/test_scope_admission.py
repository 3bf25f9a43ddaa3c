"""How a request gets its first connection, and what it is to those who wait."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import MySQLdb
import pytest

from pooled_db import PoolTimeout, fork
from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, READY, TAKING
from pooled_db.pool.pool import Pool
from pooled_db.request.scope import Scope
from tests.destinations import ELSEWHERE, HERE
from tests.errors import timeout, unavailable
from tests.loans import admit

WRONG_PASSWORD = MySQLdb.OperationalError(1045, "Access denied")


class Borrower:
    has_atomic_block = False

    def detach(self) -> None: ...


def connect() -> Connection:
    raise AssertionError("nobody connects here")


def make_pool(alias: str = "default") -> Pool:
    return Pool(alias, connect, pool_size=2, timeout=0.01, home=HERE)


@pytest.fixture
def pool() -> Pool:
    return make_pool()


@pytest.fixture
def scope() -> Scope:
    return Scope()


@pytest.fixture
def taken(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> list[Loan]:
    """The loans that have taken a connection, of those that lead to no server."""
    taken: list[Loan] = []
    take = pool.take

    def take_nothing(loan: Loan) -> None:
        if loan.over:
            take(loan)
        else:
            taken.append(loan)
            loan.state = READY

    monkeypatch.setattr(pool, "take", take_nothing)
    return taken


both = pytest.mark.parametrize("is_async", [False, True])


# What it waits with.


@both
def test_a_request_that_is_let_in_is_so_once(
    scope: Scope, pool: Pool, is_async: bool
) -> None:
    for _ in range(2):
        admit(scope, pool, is_async=is_async)
    assert pool.gate.free == 1
    scope.close()


@both
def test_whoever_has_been_let_in_is_no_newcomer_at_another_pool(
    scope: Scope, is_async: bool
) -> None:
    for alias in ("default", "replica"):
        admit(scope, make_pool(alias), is_async=is_async)
    first, second = scope.loans
    assert (first.begun, first.bounded) == (False, True)
    assert (second.begun, second.bounded) == (True, False)
    scope.close()


def test_whoever_asks_for_the_first_time_in_its_view_is_a_newcomer(
    scope: Scope, pool: Pool, taken: list[Loan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loan, "lend", lambda *args: True)
    borrower = Borrower()
    loan = scope.lend(pool, weakref.ref(borrower), (HERE, connect))
    assert (loan.begun, loan.bounded) == (False, True)
    assert (scope.begun, scope.was_admitted) == (True, True)
    scope.close()


def test_whoever_takes_a_second_one_while_the_first_is_taken_is_no_newcomer(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread of the same request, which has not been let in by then."""
    mine, others = Borrower(), Borrower()
    taken: list[Loan] = []

    def take(loan: Loan) -> None:
        taken.append(loan)
        if len(taken) == 1:
            loan.state = TAKING
            scope.lend(pool, weakref.ref(others), (ELSEWHERE, connect))
        loan.state = READY

    monkeypatch.setattr(pool, "take", take)
    monkeypatch.setattr(Loan, "lend", lambda *args: True)
    scope.lend(pool, weakref.ref(mine), (HERE, connect))
    first, second = taken
    assert (first.begun, first.bounded) == (False, True)
    assert (second.begun, second.bounded) == (True, False)
    assert pool.gate.free == 0
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("is_second", [False, True])
def test_what_another_thread_has_put_in_meanwhile_is_shared(
    scope: Scope,
    pool: Pool,
    taken: list[Loan],
    monkeypatch: pytest.MonkeyPatch,
    is_second: bool,
) -> None:
    make = Scope._new_loan

    def make_after_another(self: Scope, *args: Any) -> Loan:
        monkeypatch.setattr(Scope, "_new_loan", make)
        scope.admit(pool)
        return make(self, *args)

    if is_second:
        scope.admit(pool)
        scope.return_unused()
    monkeypatch.setattr(Scope, "_new_loan", make_after_another)
    monkeypatch.setattr(Loan, "lend", lambda *args: True)
    borrower = Borrower()
    loan = scope.lend(pool, weakref.ref(borrower), (HERE, connect))
    assert taken == scope.loans == [loan]
    assert pool.gate.free == 1
    scope.close()


TOO_OLD = 60.0


@pytest.mark.parametrize("has_another", [False, True])
@pytest.mark.parametrize(
    "come_in",
    [
        lambda scope, pool: scope.admit(pool, TOO_OLD),
        lambda scope, pool: asyncio.run(scope.admit_async(pool, TOO_OLD)),
        lambda scope, pool: scope.check_out(pool, TOO_OLD),
        lambda scope, pool: scope.check_out(pool, TOO_OLD, idle_only=True),
    ],
    ids=["admit", "admit_async", "check_out", "idle_only"],
)
def test_whoever_has_been_on_its_way_for_too_long_is_not_let_in(
    scope: Scope,
    pool: Pool,
    come_in: Callable[[Scope, Pool], object],
    has_another: bool,
) -> None:
    if has_another:
        scope.admit(make_pool("replica"))
    with pytest.raises(PoolTimeout):
        come_in(scope, pool)
    assert pool.gate.free == 2
    scope.close()


# What it has ready when its view begins.


@pytest.mark.parametrize("has_another", [False, True])
def test_what_is_checked_out_has_a_permit_and_is_ready(
    scope: Scope, pool: Pool, taken: list[Loan], has_another: bool
) -> None:
    if has_another:
        scope.admit(make_pool("replica"))
    scope.check_out(pool)
    assert taken == [scope.loans[-1]]
    assert scope.has_ready("default")
    assert (scope.was_admitted, pool.gate.free) == (True, 1)
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize(
    "has", ["nothing", "its admission", "what is ready", "what has ended"]
)
def test_it_has_one_ready_that_is_taken_and_has_not_ended(
    scope: Scope, pool: Pool, taken: list[Loan], has: str
) -> None:
    """What a door has taken may have been called back for others since."""
    if has != "nothing":
        scope.admit(pool)
        if has != "its admission":
            scope.check_out_admitted(pool)
        if has == "what has ended":
            scope.return_unused()
    assert scope.has_ready("default") is (has == "what is ready")
    scope.close()


def test_what_its_request_has_outlived_is_not_taken(
    scope: Scope, pool: Pool, taken: list[Loan], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in = pool.admit

    def admit_at_the_end(loan: Loan, age: float) -> Loan:
        let_in(loan, age)
        scope.close()
        return loan

    monkeypatch.setattr(pool, "admit", admit_at_the_end)
    scope.check_out(pool)
    assert not taken
    assert pool.gate.free == 2


def test_what_is_taken_to_tell_its_client_apart_ends_with_it(
    scope: Scope, pool: Pool, taken: list[Loan], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in = pool.admit

    def admit_after_another(loan: Loan, age: float) -> Loan:
        monkeypatch.setattr(pool, "admit", let_in)
        scope.admit(pool)
        return let_in(loan, age)

    monkeypatch.setattr(pool, "admit", admit_after_another)
    scope.check_out(pool)
    assert len(scope.loans) == 2
    assert pool.gate.free == 0
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("has", ["nothing", "what has ended", "what is ready"])
def test_only_what_is_let_in_and_no_more_is_taken(
    scope: Scope, pool: Pool, taken: list[Loan], has: str
) -> None:
    """The admission may have gone by then, with the request, or for others."""
    if has != "nothing":
        scope.admit(pool)
    if has == "what has ended":
        scope.return_unused()
    elif has == "what is ready":
        scope.check_out_admitted(pool)
    before = list(taken)
    scope.check_out_admitted(pool)
    assert scope.check_out_idle(pool)
    assert taken == before
    scope.close()


@pytest.mark.parametrize(
    ("error", "is_for_the_first_query"),
    [
        (WRONG_PASSWORD, True),
        (unavailable(), False),
        (timeout(), False),
        (KeyboardInterrupt(), False),
    ],
    ids=["a wrong password", "no server", "no connection", "an interrupt"],
)
@pytest.mark.parametrize(
    "check_out",
    [Scope.check_out, Scope.check_out_admitted, Scope.check_out_idle],
    ids=lambda function: function.__name__,
)
def test_whoever_cannot_take_one_has_no_permit_and_is_told_what_waiting_cures(
    scope: Scope,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    check_out: Callable[[Scope, Pool], object],
    error: BaseException,
    is_for_the_first_query: bool,
) -> None:
    """A page that makes no query works with a wrong password, too."""

    def take(loan: Loan) -> None:
        raise error

    if check_out is not Scope.check_out:
        scope.admit(pool)
    monkeypatch.setattr(pool, "take", take)
    if is_for_the_first_query and check_out is not Scope.check_out_idle:
        check_out(scope, pool)
    else:
        with pytest.raises(type(error)):
            check_out(scope, pool)
    assert pool.gate.free == 2
    scope.close()


def test_without_io_there_is_what_is_idle_or_the_admission(
    scope: Scope, pool: Pool
) -> None:
    scope.check_out(pool, idle_only=True)
    (loan,) = scope.loans
    assert (loan.state, loan.idle_only) == (ADMITTED, False)
    assert not scope.has_ready("default")
    assert pool.gate.free == 1
    scope.close()


# Whose it is.


def test_what_is_adopted_twice_is_one(scope: Scope, pool: Pool) -> None:
    loan = Loan(pool)
    pool.admit(loan)
    for _ in range(2):
        scope.adopt(pool, loan, ends_with_it=True)
    assert scope.loans == [loan]
    scope.close()
    assert pool.gate.free == 2


@pytest.mark.parametrize("is_over", [False, True])
def test_what_does_not_end_with_it_is_left_to_its_thread(
    scope: Scope, pool: Pool, is_over: bool
) -> None:
    loan = Loan(pool)
    pool.admit(loan)
    if is_over:
        scope.close()
    scope.adopt(pool, loan, ends_with_it=False)
    scope.return_unused()
    scope.release()
    asyncio.run(scope.close_async())
    assert not loan.over
    loan.checkin()


@pytest.mark.parametrize("is_in_child", [False, True])
def test_what_nobody_has_ended_goes_back_but_for_that_of_a_parent(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, is_in_child: bool
) -> None:
    """A child that was forked behind Python's back has the objects of its parent."""
    scope = Scope()
    scope.admit(pool)
    (loan,) = scope.loans
    if is_in_child:
        monkeypatch.setattr(fork, "process", 0)
    del scope
    gc.collect()
    monkeypatch.undo()
    assert pool.gate.free == (1 if is_in_child else 2)
    loan.discard()
