"""Idle connections that were not needed lately are closed, though nobody asks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as NoSlot
from sqlalchemy.pool import QueuePool

from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from pooled_db.pool.store import NoIdleConnection
from pooled_db.pool.surplus import LATE, LEAST, SOONEST
from pooled_db.pool.upkeep import Upkeep
from tests.harness.processes import PATIENCE, poll
from tests.harness.server import Server
from tests.loans import connection_of, lend

MakePool = Callable[..., Pool]
LONG = 3600.0

both_orders = pytest.mark.parametrize("use_lifo", [False, True], ids=["fifo", "lifo"])


def burst(pool: Pool, size: int) -> None:
    """Need *size* connections at once, and no more."""
    loans = [pool.checkout() for _ in range(size)]
    for loan in loans:
        loan.checkin()


def idle_for(pool: Pool, seconds: float) -> None:
    """Let all that is open have rested for so long."""
    for connection in list(pool._store.open):
        connection.rested -= seconds


@both_orders
def test_a_pool_that_nobody_asks_keeps_one(make_pool: MakePool, use_lifo: bool) -> None:
    pool = make_pool(pool_size=5, max_idle=0.2, use_lifo=use_lifo)
    burst(pool, 5)

    latest = 0.2 + 2 * (SOONEST + LATE) + 5
    assert poll(lambda: pool.stats().idle == LEAST, latest)
    assert (pool.stats().opened, pool.stats().closed["idle"]) == (5, 5 - LEAST)


@both_orders
def test_what_is_needed_stays_and_the_rest_is_closed(
    make_pool: MakePool, use_lifo: bool
) -> None:
    """Two are in use at a time, in turn with each other, after a burst of five."""
    pool = make_pool(pool_size=5, max_idle=LONG, use_lifo=use_lifo)
    burst(pool, 5)
    pool.look_after(time.monotonic())
    for _ in range(10):
        burst(pool, 2)
    assert pool.stats().opened == 5
    now = time.monotonic()
    for slot in pool._store._parked:
        parked: Any = slot.dbapi_connection
        parked.rested = now - LONG - 1

    pool.look_after(now)

    assert pool.stats().idle == 2
    burst(pool, 2)
    assert pool.stats().opened == 5


def test_a_parked_connection_is_lent_before_another_is_opened(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=5, max_idle=LONG)
    burst(pool, 2)
    in_another_thread(lambda: pool.look_after(time.monotonic()))
    assert (pool.stats().idle, pool.checkedout()) == (2, 0)

    first, second = pool.admit(Loan(pool)), pool.admit(Loan(pool))
    pool.take_idle(first)
    pool.take(second)
    assert pool.stats().opened == 2
    third = pool.admit(Loan(pool))
    with pytest.raises(NoIdleConnection):
        pool.take_idle(third)
    for loan in (first, second, third):
        loan.checkin()


def test_the_last_used_is_lent_first_of_what_was_parked(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=3, max_idle=LONG)
    loans = [lend(pool) for _ in range(3)]
    for loan, connection in loans:
        connection.query("SELECT 1")
        connection.store_result()
        loan.checkin()
    in_another_thread(lambda: pool.look_after(time.monotonic()))

    loan = pool.checkout()

    assert connection_of(loan) is loans[-1][1]
    loan.checkin()


def test_nothing_is_closed_while_it_is_lent(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=2, max_idle=LONG)
    loans = [pool.checkout() for _ in range(2)]
    idle_for(pool, 2 * LONG)

    in_another_thread(lambda: pool.look_after(time.monotonic()))

    assert all(connection_of(loan).open for loan in loans)
    for loan in loans:
        loan.checkin()


def test_threads_that_lend_meanwhile_lose_nothing(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=4, max_idle=LONG)
    over = threading.Event()

    def look_after() -> None:
        while not over.is_set():
            now = time.monotonic()
            pool.look_after(now)
            pool._store.close_parked(now - 0.001, LEAST)

    looking = threading.Thread(target=look_after)
    looking.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(burst, pool, 1) for _ in range(2000)]:
                done.result()
    finally:
        over.set()
        looking.join()
    assert pool.stats().refused == 0


class Moving:
    """A queue of which another thread takes what is in it, *times* it is asked."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.slot = object()

    def connect(self) -> object:
        self.times -= 1
        if self.times >= 0:
            raise NoSlot
        return self.slot


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long a thread has let others run each time, instead of doing so."""
    naps: list[float] = []
    monkeypatch.setattr("pooled_db.pool.store.time", SimpleNamespace(sleep=naps.append))
    return naps


def test_a_slot_that_another_thread_is_just_moving_is_found_at_a_later_look(
    make_pool: MakePool, naps: list[float]
) -> None:
    queue: Any = Moving(3)
    assert make_pool()._store.open_another(queue) is queue.slot
    assert naps == [0, 0, 0]


def test_who_puts_something_into_the_queue_looks_at_once(
    make_pool: MakePool, naps: list[float]
) -> None:
    pool = make_pool(pool_size=2, max_idle=LONG)
    burst(pool, 2)
    pool._store.park_idle()
    queue: Any = Moving(2)
    assert pool._store.open_another(queue) is queue.slot
    assert naps == []


def test_who_finds_no_slot_at_all_is_told_so(
    make_pool: MakePool, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooled_db.pool.store.MOST_LOOKS", 3)
    queue: Any = Moving(4)
    with pytest.raises(NoSlot, match="though there is a permit"):
        make_pool()._store.open_another(queue)


def test_what_is_parked_while_another_queue_is_made_is_counted_once(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(pool_size=2, max_idle=LONG)
    burst(pool, 2)
    store = pool._store
    make = store._new

    def make_meanwhile() -> QueuePool:
        in_another_thread(store.park_idle)
        return make()

    monkeypatch.setattr(store, "_new", make_meanwhile)
    store.renew(store.queue)
    assert pool.checkedout() == 0
    burst(pool, 2)


def test_a_disposed_pool_closes_what_is_parked(
    make_pool: MakePool, server: Server
) -> None:
    before = len(server.process_list())
    pool = make_pool(pool_size=3, max_idle=LONG)
    burst(pool, 3)
    in_another_thread(lambda: pool.look_after(time.monotonic()))
    pool.dispose()

    assert poll(lambda: len(server.process_list()) == before)
    assert pool.look_after(time.monotonic()) is None


def test_a_pool_that_is_disposed_of_during_a_look_closes_all(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=3, max_idle=LONG)
    burst(pool, 3)
    connections = list(pool._store.open)

    def dispose(*_: object) -> None:
        if not pool.is_disposed:
            pool.dispose()

    # While the first is on its way out of the queue.
    event.listen(pool._store.queue, "checkout", dispose)
    in_another_thread(lambda: pool.look_after(time.monotonic()))

    assert pool.is_disposed
    assert not any(connection.open for connection in connections)
    assert pool.stats().idle == 0


def test_with_none_all_stay(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=3, max_idle=None)
    burst(pool, 3)
    assert not pool._connector.surplus.is_watched


def in_another_thread(function: Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(function).result()


# The thread.


class Watched:
    """Is looked after when it is due, and then never again."""

    alias = "default"

    def __init__(self) -> None:
        self.looked = threading.Event()

    def look_after(self, now: float) -> float | None:
        self.looked.set()
        return None


def is_running(upkeep: Upkeep) -> bool:
    return upkeep._thread is not None


def test_the_thread_ends_when_nothing_is_left_to_do() -> None:
    upkeep, watched = Upkeep(), Watched()
    for _ in range(2):
        watched.looked.clear()
        upkeep.watch(watched, time.monotonic())
        assert watched.looked.wait(PATIENCE)
        assert poll(lambda: not is_running(upkeep))


def test_the_earliest_is_looked_after_first() -> None:
    upkeep, later, sooner = Upkeep(), Watched(), Watched()
    upkeep.watch(later, time.monotonic() + LONG)
    upkeep.watch(sooner, time.monotonic())
    assert sooner.looked.wait(PATIENCE)
    assert not later.looked.is_set()
    upkeep.watch(later, time.monotonic())
    assert later.looked.wait(PATIENCE)


def test_a_pool_that_nobody_keeps_is_not_kept_by_its_upkeep() -> None:
    upkeep = Upkeep()
    upkeep.watch(Watched(), time.monotonic() + 0.1)
    assert poll(lambda: not is_running(upkeep))


def test_a_thread_that_could_not_start_is_started_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    upkeep, watched = Upkeep(), Watched()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        upkeep.watch(watched, time.monotonic())
    upkeep.watch(watched, time.monotonic() + LONG)
    assert watched.looked.wait(PATIENCE)


def test_a_thread_that_has_ended_by_a_mistake_is_replaced() -> None:
    class Ending(Watched):
        def look_after(self, now: float) -> float | None:
            raise SystemExit

    upkeep, watched = Upkeep(), Watched()
    upkeep.watch(Ending(), time.monotonic())
    thread = upkeep._thread
    assert thread is not None
    thread.join(PATIENCE)
    upkeep.watch(watched, time.monotonic())
    assert watched.looked.wait(PATIENCE)


@pytest.mark.filterwarnings("ignore:This process.*:DeprecationWarning")
def test_a_forked_child_has_a_thread_of_its_own() -> None:
    upkeep, watched = Upkeep(), Watched()
    upkeep.watch(Watched(), time.monotonic() + LONG)
    child = os.fork()
    if child == 0:
        upkeep.after_fork()
        upkeep.watch(watched, time.monotonic())
        os._exit(0 if watched.looked.wait(PATIENCE) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
