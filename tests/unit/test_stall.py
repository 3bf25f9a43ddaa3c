"""Nobody waits for what cannot come: of those who wait for each other one gives up."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, cast

import pytest

from pooled_db.driver.connection import Connection
from pooled_db.exceptions import Reason
from pooled_db.pool import stall
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, LENT, REFUSED, TAKING, WAITING
from pooled_db.pool.pool import Pool
from pooled_db.pool.stall import (
    STANDSTILL,
    after_fork,
    begin_waiting,
    end_waiting,
    is_stalled,
    last_in_vain,
)
from tests.gates import LONG
from tests.harness.processes import poll
from tests.stalls import Executors, FakeConnection, Joining, Request, connect


def another(pool: Pool) -> Loan:
    loan = Loan(pool)
    loan.begun = True
    pool.gate.enter(loan, LONG)
    return loan


def hold_one(pool: Pool) -> None:
    """Let this thread have one."""
    held = another(pool)
    held.user = threading.get_ident()
    held.state = LENT


def test_of_two_who_begin_to_wait_at_once_one_gives_up() -> None:
    """Each is in line before either looks."""
    pool = Pool("default", connect, pool_size=2)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        threads = (one, other)
        for thread in threads:
            thread.submit(hold_one, pool).result()
        wanted = [another(pool) for _ in threads]
        for thread, loan in zip(threads, wanted, strict=True):
            thread.submit(begin_waiting, loan).result()
        stalled = [
            thread.submit(is_stalled, loan).result()
            for thread, loan in zip(threads, wanted, strict=True)
        ]
        other.submit(end_waiting, wanted[1]).result()

    assert stalled == [True, False]


def test_the_last_to_wait_gives_up_though_the_first_had_no_reason_to() -> None:
    """The other was about to give its own back then."""
    pool = Pool("default", connect, pool_size=2)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        stalled = []
        for thread in (one, other):
            thread.submit(hold_one, pool).result()
        for thread in (one, other):
            wanted = another(pool)
            thread.submit(begin_waiting, wanted).result()
            stalled.append(thread.submit(is_stalled, wanted).result())
    after_fork()  # nobody waits any more
    assert stalled == [False, True]


def test_who_is_taken_out_while_it_stops_waiting_has_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class TakenOut(dict[int | None, Loan]):
        """Another thread's look comes between the two steps."""

        def get(self, thread: int | None, default: Any = None) -> Any:
            return self.pop(thread, default)

    pool = Pool("default", connect)
    loan = another(pool)
    monkeypatch.setattr(stall, "_waiting", TakenOut())
    begin_waiting(loan)
    end_waiting(loan)
    loan.checkin()


def test_who_waits_for_another_loan_goes_on_waiting() -> None:
    pool = Pool("default", connect, pool_size=1)
    held, wanted, other = another(pool), another(pool), another(pool)
    held.state, held.user = LENT, threading.get_ident()
    held.connection = cast("Connection", FakeConnection(0.0))
    begin_waiting(wanted)
    end_waiting(other)
    assert is_stalled(wanted)
    for loan in (held, wanted, other):
        loan.connection = None
        pool.gate.release(loan)


def test_threads_may_come_and_go_during_a_look() -> None:
    """They run while garbage is collected, which Python up to 3.11 does in between."""
    pool = Pool("default", connect, pool_size=1)
    held = another(pool)
    held.state = LENT
    held.connection = cast("Connection", FakeConnection(0.0))
    wanted = another(pool)
    begin_waiting(wanted)
    numbers = itertools.count(-1, -1)

    def another_waits(phase: str, info: object) -> None:
        stall._waiting[next(numbers)] = wanted

    threshold = gc.get_threshold()
    gc.callbacks.append(another_waits)
    gc.set_threshold(1)
    try:
        last_in_vain([wanted], time.monotonic())
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(another_waits)
        after_fork()  # nobody waits any more
    wanted.checkin()
    held.connection = None
    pool.gate.release(held)


@pytest.fixture
def joining() -> Iterator[Joining]:
    joining = Joining()
    yield joining
    joining.close()


@pytest.mark.parametrize("kind", ["joining", "executors"])
def test_of_holders_who_wait_in_other_threads_the_last_gives_up(
    request: pytest.FixtureRequest, kind: str
) -> None:
    holders: Joining = request.getfixturevalue(kind)
    assert holders.last_in_vain() is holders.waiting[1]
    # It has given up, so the other goes on waiting.
    assert holders.last_in_vain() is None


@pytest.mark.parametrize("rests", [False, True])
def test_what_is_at_work_is_not_called_back_where_loans_are_by_transaction(
    joining: Joining, rests: bool
) -> None:
    joining.pool.lends_by_transaction = True
    for loan in joining.held:
        loan.borrower = lambda: None
    joining.connection(0).is_at_rest = rests
    assert joining.last_in_vain() is (None if rests else joining.waiting[1])


def test_nobody_waits_in_a_child_who_waits_in_its_parent(joining: Joining) -> None:
    after_fork()
    assert joining.last_in_vain() is None


def test_who_goes_on_waiting_counts_when_the_other_waits_again(
    joining: Joining,
) -> None:
    assert joining.last_in_vain() is joining.waiting[1]
    joining.begin_waiting(joining.waiting[1])
    assert joining.last_in_vain() is joining.waiting[1]


def test_a_request_that_holds_nothing_does_not_give_up(joining: Joining) -> None:
    gave_back = joining.ask(Request())
    # Where those who hold something wait at another pool, nobody does so here.
    assert last_in_vain([gave_back], joining.now) is None
    joining.waiting.append(gave_back)
    assert joining.last_in_vain() is joining.waiting[1]


def lent_just_now(joining: Joining) -> None:
    joining.held[0].since = joining.now - STANDSTILL + 0.01


def asked_just_now(joining: Joining) -> None:
    joining.waiting[0].arrived = joining.now - STANDSTILL + 0.01


def used_just_now(joining: Joining) -> None:
    joining.connection(0).rested = joining.now - STANDSTILL + 0.01


def is_in_a_statement(joining: Joining) -> None:
    joining.connection(0).in_statement = True


def is_about_to_use_it(joining: Joining) -> None:
    joining.held[0].pins.add(1)


def waits_for_nothing(joining: Joining) -> None:
    joining.pool.gate.release(joining.waiting[0])


def is_of_no_request(joining: Joining) -> None:
    joining.held[0].requester = None


def has_no_connection_yet(joining: Joining) -> None:
    joining.held[0].connection = None


def is_just_taking_it(joining: Joining) -> None:
    joining.held[0].state = TAKING


def has_just_got_another(joining: Joining) -> None:
    joining.held[0].user = joining.thread_of(0)
    joining.waiting[0].state = ADMITTED


@pytest.mark.parametrize(
    "change",
    [
        lent_just_now,
        asked_just_now,
        used_just_now,
        is_just_taking_it,
        has_just_got_another,
        is_in_a_statement,
        is_about_to_use_it,
        waits_for_nothing,
        is_of_no_request,
        has_no_connection_yet,
    ],
)
def test_nobody_gives_up_while_one_holder_may_go_on(
    joining: Joining, change: Callable[[Joining], None]
) -> None:
    change(joining)
    assert joining.last_in_vain() is None


def test_nobody_gives_up_while_another_may_be_let_in(joining: Joining) -> None:
    joining.pool.gate.capacity = 3
    assert joining.last_in_vain() is None


def test_nobody_gives_up_while_the_server_may_grant_more(joining: Joining) -> None:
    joining.pool.gate.limit = 1
    joining.pool.gate.release(joining.held.pop())
    assert joining.last_in_vain() is None


def test_nobody_gives_up_whose_other_wait_can_end(joining: Joining) -> None:
    """One thread of the request waits at another pool, where somebody works."""
    other = Pool("other", connect, pool_size=1)
    worker, waiter = Loan(other, Request()), Loan(other, joining.held[0].requester)
    for loan in (worker, waiter):
        loan.begun = True
        other.gate.enter(loan, LONG)
    joining.begin_waiting(waiter)
    assert joining.last_in_vain() is None
    other.gate.release(waiter)
    assert joining.last_in_vain() is joining.waiting[1]


@pytest.fixture
def executors() -> Iterator[Joining]:
    executors = Executors()
    yield executors
    executors.close()


def fewer_wait_than_hold(executors: Joining) -> None:
    executors.pool.gate.release(executors.waiting[0])


def fewer_wait_than_hold_outside_of_requests(executors: Joining) -> None:
    for loan in executors.held:
        loan.requester = None
    fewer_wait_than_hold(executors)


def one_holder_rests(executors: Joining) -> None:
    executors.connection(0).is_at_rest = True


def one_waits_for_another_pool(executors: Joining) -> None:
    executors.waiting.pop(0).pool = Pool("other", connect, pool_size=1)


def one_waiter_holds_one_itself(executors: Joining) -> None:
    executors.held[0].user = executors.thread_of(0)


@pytest.mark.parametrize(
    "change",
    [
        lent_just_now,
        asked_just_now,
        used_just_now,
        is_in_a_statement,
        fewer_wait_than_hold,
        fewer_wait_than_hold_outside_of_requests,
        one_holder_rests,
        one_waits_for_another_pool,
        one_waiter_holds_one_itself,
    ],
)
def test_no_executor_gives_up_while_one_holder_may_go_on(
    executors: Executors, change: Callable[[Joining], None]
) -> None:
    change(executors)
    assert executors.last_in_vain() is None


@pytest.mark.parametrize("kind", ["joining", "executors"])
def test_nobody_gives_up_while_one_holder_goes_on_by_itself(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """It waits for another server, say, and for no thread."""
    holders: Joining = request.getfixturevalue(kind)
    answer, to_send = os.pipe()
    asked: SimpleQueue[int] = SimpleQueue()

    def ask() -> None:
        asked.put(threading.get_ident())
        os.read(answer, 1)

    holder = threading.Thread(target=ask)
    holder.start()
    holders.held[0].user = asked.get()
    try:
        assert holders.last_in_vain() is None
    finally:
        os.close(to_send)
        holder.join()
        os.close(answer)


def test_who_holds_in_an_idle_thread_of_an_executor_does_not_go_on_by_itself(
    joining: Joining,
) -> None:
    """What it was asked for has ended, and the transaction is left open."""
    with ThreadPoolExecutor(1) as thread:
        joining.held[0].user = thread.submit(threading.get_ident).result()
        assert poll(lambda: joining.last_in_vain() is joining.waiting[1])


def test_a_thread_for_which_nobody_waits_does_not_give_up(joining: Joining) -> None:
    """Each holder waits in a thread that is known; this one is the last to come."""
    background = joining.ask(None)
    joining.waiting.append(background)
    assert joining.last_in_vain() is joining.waiting[1]


def test_the_gate_refuses_who_gives_up(joining: Joining) -> None:
    """Whoever watches the line of a gate finds it."""
    gate = joining.pool.gate
    for loan in (*joining.held, *joining.waiting):
        loan.arrived -= STANDSTILL
        if loan.connection is not None:
            loan.since -= STANDSTILL
            loan.connection.rested = loan.since
    for loan in joining.waiting:
        gate.review(loan)
    assert [loan.state for loan in joining.waiting] == [WAITING, REFUSED]
    assert joining.waiting[1].reason is Reason.STALLED
    assert joining.waiting[1].waited >= STANDSTILL
    # One permit goes round from now on among those who have begun.
    assert gate.reserved == 1
