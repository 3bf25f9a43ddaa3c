"""Which of the idle connections is lent or closed first, and what is in between."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pooled_db.pool.pool import Pool
from pooled_db.pool.store import Store
from tests.harness.fake_server import FakeServer
from tests.loans import connector, lend


def store_of_two(pool: Pool) -> Store:
    """That of *pool*, with two idle connections."""
    for loan in [pool.checkout(), pool.checkout()]:
        loan.checkin()
    return pool._store


def test_what_is_idle_is_lent_before_another_is_opened_in_the_room_of_one_closed(
    pool: Pool,
) -> None:
    (closed, _), (kept, connection) = lend(pool), lend(pool)
    closed.discard()
    kept.checkin()
    again, same = lend(pool)
    assert (same, pool.stats().opened) == (connection, 2)
    again.checkin()


def test_what_is_needed_just_as_it_is_to_be_closed_stays_open(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of_two(pool)
    store.park_idle()
    needed = store._parked[0]

    def last_used(slot: Any) -> float:
        if slot is needed:
            store._parked.remove(slot)
            slot.close()
        return 0.0

    monkeypatch.setattr("pooled_db.pool.store._last_used", last_used)
    store.close_parked(1.0, 0)
    assert (pool.stats().closed["idle"], len(store.open)) == (1, 1)
    lend(pool)[0].checkin()
    assert pool.stats().opened == 2


def test_what_was_used_first_of_what_is_parked_is_known(pool: Pool) -> None:
    loans = [lend(pool) for _ in range(3)]
    for (loan, connection), rested in zip(loans, (7.0, 5.0, 6.0), strict=True):
        loan.checkin()
        connection.rested = rested
    store = pool._store
    known = [store.parked_since()]
    store.park_idle()
    known.append(store.parked_since())
    store.close_parked(5.0, 0)
    known.append(store.parked_since())
    assert known == [None, 5.0, 6.0]
    store.close_parked(60.0, 1)  # one stays
    assert len(store.open) == 1


def test_of_what_is_parked_that_goes_first_which_was_not_used_for_longest(
    pool: Pool,
) -> None:
    """Nobody is lent the slot of what is closed as long as there is another."""
    (first, _), (last, connection) = lend(pool), lend(pool)
    first.checkin()
    last.checkin()
    store = pool._store
    store.park_idle()
    closed = [store.close_some_parked(1)]
    assert (list(store.open), store.queue.checkedin()) == ([connection], 0)
    closed.append(store.close_some_parked(3))
    assert (closed, pool.stats().closed["shared"], pool.checkedout()) == ([1, 1], 2, 0)


def test_who_needs_a_parked_one_that_another_has_just_got_has_the_next(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of_two(pool)
    queue, connect, taken = store.queue, store.queue.connect, []

    def just_taken() -> Any:
        monkeypatch.undo()
        taken.append(connect())
        return connect()

    store.park_idle()
    monkeypatch.setattr(queue, "connect", just_taken)
    slot = store.take_parked(queue)
    assert slot is not None
    for one in (slot, *taken):
        one.close()
    assert pool.stats().opened == 2


@pytest.mark.parametrize(("is_closed", "opened"), [(False, 1), (True, 2)])
def test_who_needs_a_connection_has_what_is_parked_or_the_room_of_one_closed(
    server: FakeServer, is_closed: bool, opened: int
) -> None:
    pool = Pool("fake", connector(server), pool_size=1)
    pool.checkout().checkin(keep=not is_closed)
    pool._store.park_idle()
    loan = pool.checkout()
    assert pool.stats().opened == opened
    loan.checkin()
    pool.dispose()


@pytest.mark.parametrize("echo", [False, "debug"])
def test_whether_a_queue_logs_is_the_pools_to_say(
    server: FakeServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    echo: bool | str,
) -> None:
    # Else SQLAlchemy gives it a handler that prints.
    logger = logging.getLogger("sqlalchemy.pool.impl.QueuePool")
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])
    pool = Pool("fake", connector(server), echo=echo)
    lend(pool)[0].checkin()
    assert bool(caplog.records) is bool(echo)
    pool.dispose()


@pytest.mark.parametrize("use_lifo", [False, True])
def test_which_idle_connection_is_lent_is_the_pools_to_say(
    server: FakeServer, use_lifo: bool
) -> None:
    pool = Pool("fake", connector(server), pool_size=2, use_lifo=use_lifo)
    (first, used_first), (last, used_last) = lend(pool), lend(pool)
    first.checkin()
    last.checkin()
    loan, connection = lend(pool)
    assert connection is (used_last if use_lifo else used_first)
    loan.checkin()
    pool.dispose()


def test_who_parks_what_is_idle_may_find_that_it_has_just_been_taken(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend(pool)[0].checkin()
    store = pool._store
    monkeypatch.setattr(store.queue, "checkedin", lambda: 2)
    store.park_idle()
    assert (len(store._parked), len(store.open)) == (1, 1)
