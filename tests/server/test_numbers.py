"""What is provoked is counted, exactly as often."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import MySQLdb
import pytest
from django.db import connection, connections

from pooled_db import PoolTimeout, ServerUnavailable, pools, state
from pooled_db.driver.connection import Connection
from pooled_db.exceptions import Reason
from pooled_db.pool.destination import Destination
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import Permit, Refused
from pooled_db.pool.pool import Pool
from tests.clock import Clock
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import connection_of, lend

MakePool = Callable[..., Pool]

K = 5


def refused_by(pool: Pool) -> dict[str, int]:
    return {reason: n for reason, n in pool.stats().refused_by.items() if n}


def closed(pool: Pool) -> dict[str, int]:
    return {what: n for what, n in pool.stats().closed.items() if n}


def fill(pool: Pool) -> list[Permit]:
    permits = [Permit() for _ in range(pool.gate.capacity)]
    for permit in permits:
        pool.gate.acquire(permit, 1.0)
    return permits


def empty(pool: Pool, permits: list[Permit]) -> None:
    for permit in permits:
        pool.gate.release(permit)


def test_each_timeout_is_counted(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, timeout=0.01)
    permits = fill(pool)
    for _ in range(K):
        with pytest.raises(PoolTimeout):
            pool.checkout()
    empty(pool, permits)
    assert refused_by(pool) == {"timeout": K}
    assert pool.stats().refused == K


def test_who_is_too_old_is_counted_though_the_gate_is_never_asked(
    make_pool: MakePool,
) -> None:
    pool = make_pool(pool_size=1, timeout=1.0)
    for _ in range(K):
        with pytest.raises(PoolTimeout):
            pool.admit(Loan(pool), age=2.0)
    assert refused_by(pool) == {"timeout": K}


def test_each_who_finds_the_queue_full_is_counted(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, max_waiting=0)
    permits = fill(pool)
    for _ in range(K):
        with pytest.raises(PoolTimeout):
            pool.admit(Loan(pool))
    empty(pool, permits)
    assert refused_by(pool) == {"queue_full": K}


def test_each_who_would_wait_for_itself_is_counted(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    loan = pool.checkout()
    for _ in range(K):
        with pytest.raises(PoolTimeout):
            pool.checkout()
    loan.checkin()
    assert refused_by(pool) == {"stalled": K}


def test_each_who_is_shed_is_counted(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(pool_size=1)

    def shed(*args: Any) -> None:
        raise Refused(Reason.OVERLOADED, 0.2)

    monkeypatch.setattr(pool.gate, "acquire", shed)
    for _ in range(K):
        with pytest.raises(PoolTimeout):
            pool.checkout()
    assert refused_by(pool) == {"overloaded": K}


def test_each_who_finds_no_server_is_counted(make_pool: MakePool) -> None:
    def fail() -> Connection:
        raise MySQLdb.OperationalError(2003, "Can't connect to server")

    pool = make_pool(fail, pool_size=2)
    for _ in range(K):
        with pytest.raises(ServerUnavailable):
            pool.checkout()
    assert refused_by(pool) == {"unavailable": K}
    assert pool.stats().connects.count == pool.stats().opened == 0


def test_each_reset_is_counted_and_nothing_else(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1)
    for sql in ("SET @a = 1", "SELECT 1"):
        for _ in range(K):
            loan, connection = lend(pool)
            with connection.cursor() as cursor:
                cursor.execute(sql)
            loan.checkin()
    stats = pool.stats()
    assert (stats.resets, stats.opened, stats.connects.count) == (K, 1, 1)
    assert (stats.checkouts, stats.uses.count, stats.waits.count) == (2 * K,) * 3
    assert closed(pool) == {}


@pytest.mark.parametrize(
    "what_for",
    ["dead", "recycled", "doubtful", "not clean", "discarded", "moved", "shared"],
)
def test_each_connection_that_is_closed_is_counted(
    make_pool: MakePool, server: Server, what_for: str
) -> None:
    pool = make_pool(pool_size=1)
    for _ in range(K):
        loan, connection = lend(pool)
        if what_for == "doubtful":
            connection.is_doubtful = True
        if what_for == "discarded":
            loan.discard()
        loan.checkin()
        if what_for == "dead":
            server.ask("KILL %s", connection.thread_id())
            assert poll(lambda c=connection: not c.is_alive())  # type: ignore[misc]
        if what_for == "recycled":
            connection.expires = 0.0
        if what_for == "not clean":  # an interrupt has come between the two
            connection.is_clean = False
        if what_for == "moved":
            connection.destination = Destination(connections.settings["default"])
        if what_for == "shared":
            pool._store.park_idle()
            assert pool._store.close_some_parked(2) == 1
    pool.checkout().checkin()
    assert closed(pool) == {"doubtful" if what_for == "not clean" else what_for: K}
    assert pool.stats().opened == K + 1


def test_the_overflow_and_what_is_disposed_of_are_counted(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, max_overflow=2)
    loans = [pool.checkout() for _ in range(3)]
    for loan in loans:
        loan.checkin()
    assert closed(pool) == {"overflow": 2}
    assert pool.stats().peak == 3
    pool.dispose()
    assert closed(pool) == {"overflow": 2, "disposed": 1}


def test_who_works_and_who_waits_is_told(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=2)
    one, two = pool.checkout(), pool.checkout()
    connection_of(one).is_dirty = True
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.checkout)
        assert poll(lambda: pool.stats().waiting == 1)
        stats = pool.stats()
        assert (stats.in_use, stats.at_work, stats.at_rest) == (2, 1, 1)
        assert stats.oldest_wait > 0
        two.checkin()
        waiting.result().checkin()
    stats = pool.stats()
    assert (stats.oldest_wait, stats.waiting) == (0.0, 0)
    assert stats.waits.sum > 0
    connection_of(one).is_dirty = False
    one.checkin()


def test_many_threads_are_counted_exactly(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=3, timeout=30)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: pool.checkout().checkin(), range(2000)))
    finally:
        sys.setswitchinterval(interval)
    stats = pool.stats()
    assert stats.checkouts == stats.uses.count == 2000
    assert stats.peak <= 3


def test_the_waits_are_those_that_the_clock_shows(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, timeout=30)
    clock = Clock()
    pool.gate.clock = clock
    holder = pool.checkout()
    has_one, may_go = threading.Semaphore(0), threading.Semaphore(0)

    def work() -> None:
        loan = pool.checkout()
        has_one.release()
        may_go.acquire()
        loan.checkin()

    with ThreadPoolExecutor(K) as threads:
        working = [threads.submit(work) for _ in range(K)]
        try:
            assert poll(lambda: pool.gate.waiting == K)
            clock.now += 1.0
            holder.checkin()
            for _ in range(K):
                assert has_one.acquire(timeout=60)
                clock.now += 1.0
                may_go.release()
        finally:
            may_go.release(K)
        for each in working:
            each.result()
    waits = pool.stats().waits
    assert waits.sum == pytest.approx(1 + 2 + 3 + 4 + 5)
    assert {le: n for le, n in zip(waits.bounds, waits.counts, strict=False) if n} == {
        0.001: 1,
        1.0: 1,
        2.5: 1,
        5.0: 3,
    }


@pytest.mark.django_db(transaction=True)
def test_a_pool_that_was_closed_is_told_in_the_sums_alone(
    settings: Any, tmp_path: Path
) -> None:
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "state")}
    connections.close_all()
    pools.dispose("default")
    kept = []
    for _ in range(2):
        connection.ensure_connection()
        kept.append(pools.for_alias("default"))
        connection.close()
        pools.dispose("default")

    told = state.look()
    assert told.processes == ()
    assert told.totals()["default"].opened == 2
    assert told.totals()["default"].closed["disposed"] == 2
