"""The loans of a request, whatever ends, fails or leads elsewhere in between."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import MySQLdb
import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.pool import cleaners
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED
from pooled_db.pool.pool import Pool, outsiders
from pooled_db.request import scope as of_scope
from pooled_db.request.scope import Scope
from tests.destinations import HERE
from tests.loans import admit


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


def test_one_that_an_interrupt_has_kept_from_being_made_ends_in_peace() -> None:
    Scope.__new__(Scope)
    gc.collect()


def test_what_nobody_has_ended_goes_back_when_it_is_collected(pool: Pool) -> None:
    scope = Scope()
    scope.admit(pool)
    del scope
    gc.collect()
    assert pool.gate.free == 2


@pytest.mark.parametrize("error", [PoolTimeout, KeyboardInterrupt])
def test_whoever_waits_in_vain_or_is_interrupted_is_in_line_no_more(
    scope: Scope, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    pool = make_pool(1)
    others = Loan(pool)
    pool.admit(others)

    def interrupt(permit: Loan) -> None:
        raise KeyboardInterrupt

    if error is KeyboardInterrupt:
        monkeypatch.setattr(pool.gate, "wait", interrupt)
    with pytest.raises(error):
        scope.check_out(pool)
    assert (pool.gate.free, pool.gate.waiting) == (0, 0)
    scope.close()
    others.checkin()
    assert pool.gate.free == 1


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
@pytest.mark.parametrize("is_own", [False, True], ids=["", "but what its thread owns"])
def test_whoever_is_let_in_when_its_request_has_just_ended_has_nothing(
    scope: Scope,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    is_async: bool,
    is_own: bool,
) -> None:
    """The end is noted before what it has is taken out: of it, and of what it had."""
    own = Loan(pool)
    if is_own:
        pool.admit(own)
        scope.adopt(pool, own, ends_with_it=False)
    else:
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
    assert (pool.gate.free, following.gate.free) == (1 if is_own else 2, 2)
    own.discard()


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


# At its end.


@pytest.mark.parametrize("is_once", [False, True])
@pytest.mark.parametrize("end", [Scope.return_unused, Scope.close])
def test_all_go_back_even_if_one_fails(
    scope: Scope,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Scope], None],
    is_once: bool,
) -> None:
    """And it is raised, also if what has failed could be done again."""
    pools = [pool, make_pool(), make_pool()]
    for number, one in enumerate(pools):
        one.alias = str(number)
        scope.admit(one)
    failing = scope.loans[1]
    failures: list[Loan] = []
    check_in = Loan.checkin

    def checkin(self: Loan, keep: bool = True) -> None:
        if self is failing and not (is_once and failures):
            failures.append(self)
            raise KeyboardInterrupt
        check_in(self, keep)

    monkeypatch.setattr(Loan, "checkin", checkin)
    with pytest.raises(KeyboardInterrupt):
        end(scope)
    goes_back = is_once and end is Scope.close
    assert [one.gate.free for one in pools] == [2, 2 if goes_back else 1, 2]
    monkeypatch.undo()
    scope.close()


def test_what_is_clean_goes_back_though_all_threads_that_clean_are_busy(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_pool()
    other.alias = "other"
    scope.admit(pool)
    scope.admit(other)
    _, dirty = scope.loans
    monkeypatch.setattr(Loan, "needs_io", lambda self: self is dirty)
    seen: list[tuple[int, int, bool]] = []
    ended: list[bool] = []
    cleaned = threading.Event()

    async def end() -> None:
        closing = asyncio.ensure_future(scope.close_async())
        for _ in range(3):
            await asyncio.sleep(0)
        seen.append((pool.gate.free, other.gate.free, scope.is_open))
        ended.append(closing.done())
        cleaned.set()
        await closing

    with ThreadPoolExecutor(1) as executor:
        monkeypatch.setattr(cleaners, "_executor", executor)
        executor.submit(cleaned.wait)
        asyncio.run(end())
    assert (seen, ended) == ([(2, 1, False)], [False])
    assert (pool.gate.free, other.gate.free) == (2, 2)


def test_where_all_is_clean_no_thread_is_needed(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_scope, "cleaners", pytest.fail)
    scope.admit(pool)
    asyncio.run(scope.close_async())
    assert (pool.gate.free, scope.is_open) == (2, False)
