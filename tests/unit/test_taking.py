"""What is taken out of a pool and not lent on: late, interrupted, or at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import MySQLdb
import pytest

from pooled_db import PoolTimeout
from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.numbers import Numbers
from pooled_db.pool.permit import ADMITTED, CLOSED, READY
from pooled_db.pool.pool import Pool, outsiders
from pooled_db.pool.store import NoIdleConnection
from tests.harness.fake_server import FakeServer
from tests.harness.interrupts import Interrupted
from tests.loans import connector, lend

OFFLINE = (3032, "The server is currently in offline mode")


class Wrapper:
    has_transaction = False

    def detach(self) -> None: ...


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def pool(server: FakeServer) -> Iterator[Pool]:
    pool = Pool("fake", connector(server), pool_size=3, timeout=0.01)
    yield pool
    assert (pool.gate.free, pool.checkedout()) == (3, 0)
    pool.dispose()


def test_who_must_not_wait_puts_back_what_would_have_to_be_asked(pool: Pool) -> None:
    lend(pool)[0].checkin()
    pool.ping_after = 0.0
    loan = pool.admit(Loan(pool))
    with pytest.raises(NoIdleConnection) as kept:
        pool.take_idle(loan)
    assert (pool.checkedout(), len(pool._store.open)) == (0, 1), kept
    loan.checkin()
    lend(pool)[0].checkin()
    assert pool.stats().opened == 1


def test_what_has_not_answered_in_time_is_closed_and_lent_to_nobody(
    pool: Pool, server: FakeServer
) -> None:
    lend(pool)[0].checkin()
    pool.ping_after = 0.0
    server.says("query", *OFFLINE)
    before = time.monotonic()
    loan = pool.admit(Loan(pool))
    loan.deadline = before
    with pytest.raises(PoolTimeout) as refused:
        pool.take(loan)
    assert refused.value.waited <= time.monotonic() - before
    assert (pool.checkedout(), len(pool._store.open)) == (0, 0)
    assert pool.stats().closed["dead"] == 1
    loan.checkin()


@pytest.mark.parametrize("is_put_back", [False, True])
@pytest.mark.parametrize("when", ["it is taken", "it goes back"])
def test_who_is_interrupted_after_closing_one_closes_it_once(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, when: str, is_put_back: bool
) -> None:
    """Another thread may have put its slot back meanwhile, to open one in it."""
    (loan, connection), discard = lend(pool), pool._connector.discard

    def is_interrupted(slot: Any, queue: Any) -> None:
        monkeypatch.undo()
        discard(slot, queue)
        if is_put_back:
            pool._store._put_back_an_empty_slot()
        raise Interrupted

    if when == "it is taken":
        loan.checkin()
        connection.is_clean = False
    monkeypatch.setattr(pool._connector, "discard", is_interrupted)
    with pytest.raises(Interrupted):
        if when == "it is taken":
            pool.checkout()
        else:
            loan.discard()
    assert (pool.gate.free, pool.checkedout(), len(pool._store.open)) == (3, 0, 0)
    loans = [pool.checkout() for _ in range(3)]
    assert pool.checkedout() == 3
    for loan in loans:
        loan.checkin()


def test_what_is_interrupted_twice_as_it_goes_back_is_lent_to_nobody(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is closed, and before what the first has left is closed."""
    loan, connection = lend(pool)
    slot = loan.fairy
    assert slot is not None

    def is_interrupted(*args: object) -> None:
        raise Interrupted

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(pool._connector, "discard", is_interrupted)
        loan.discard()
    slot.close()  # as when nobody remembers it
    another, other_connection = lend(pool)
    assert other_connection is not connection
    assert pool.stats().closed["doubtful"] == 1
    another.checkin()


def test_what_an_interrupt_has_cut_off_is_closed_and_known_no_more(pool: Pool) -> None:
    loan, connection = lend(pool)
    loan.checkin()
    store = pool._store
    store.queue._do_get()  # and interrupted before anybody had it
    store.renew(store.queue)

    assert not store.open
    assert not connection.is_alive()
    assert pool.stats().closed["doubtful"] == 1


def test_who_takes_a_connection_sees_what_lasts_for_too_long(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool("fake", connector(server), pool_size=2, warn_after=5.0)
    first = pool.checkout()
    first.since -= 60.0
    pool._overdue._next = 0.0  # type: ignore[union-attr]
    second = pool.checkout()
    assert "held for longer than warn_after (5 s)" in caplog.text
    first.checkin()
    second.checkin()


def test_who_is_interrupted_as_it_gets_one_gives_its_permit_back(pool: Pool) -> None:
    """The loan does not know of it yet: whoever took it closes it."""
    loan = pool.admit(Loan(pool))
    slot: Any = object()
    loan.fairy = slot
    pool.drop(loan)
    assert (loan.state, pool.gate.free) == (CLOSED, 3)


def test_who_is_interrupted_just_after_it_got_one_has_none_and_may_try_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_interrupted(*args: object) -> None:
        raise Interrupted

    loan = pool.admit(Loan(pool))
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Numbers, "lent", is_interrupted)
        pool.take(loan)
    assert (loan.state, loan.is_out, pool.lent()) == (ADMITTED, False, [])
    assert (pool.checkedout(), len(pool._store.open)) == (0, 0)
    pool.take(loan)
    assert (loan.state, loan.is_out, pool.lent()) == (READY, True, [loan])
    loan.checkin()


@pytest.mark.parametrize("error", [OFFLINE, (1045, "Access denied")])
def test_what_has_ended_while_its_connection_could_not_be_opened_gives_its_permit_back(
    error: tuple[int, str],
) -> None:
    """Its request was over, in another thread."""

    def fail() -> Connection:
        loan.checkin()
        assert pool.gate.free == 0
        raise MySQLdb.OperationalError(*error)

    pool = Pool("fake", fail, pool_size=1)
    loan = pool.admit(Loan(pool))
    with pytest.raises(MySQLdb.OperationalError):
        pool.take(loan)
    assert (loan.has_ended, pool.gate.free) == (True, 1)


def test_what_an_interrupt_has_kept_from_who_took_it_is_lost_to_nobody(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loan, connection = lend(pool)
    loan.checkin()
    queue = pool._store.queue

    def is_interrupted() -> None:
        queue._do_get()
        raise Interrupted

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(queue, "connect", is_interrupted)
        pool.checkout()
    assert not connection.is_alive()
    assert (pool.gate.free, pool.checkedout(), len(pool._store.open)) == (3, 0, 0)
    loans = [pool.checkout() for _ in range(3)]
    for loan in loans:
        loan.checkin()


@pytest.mark.parametrize("when", ["it is wanted", "it goes back"])
def test_where_a_return_is_interrupted_no_room_is_lost(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The queue counts it as lent for ever: another takes its place."""

    def is_interrupted(entry: object) -> None:
        monkeypatch.undo()
        raise Interrupted

    loan = pool.checkout()
    if when == "it is wanted":  # and has been parked meanwhile
        loan.checkin()
        pool._store.park_idle()
    monkeypatch.setattr(pool._store.queue, "_do_return_conn", is_interrupted)
    with pytest.raises(Interrupted):
        if when == "it is wanted":
            pool.checkout()
        else:
            loan.checkin()
    assert (pool.gate.free, pool.checkedout(), len(pool._store.open)) == (3, 0, 0)
    loans = [pool.checkout() for _ in range(3)]
    assert (pool.checkedout(), len(pool._store.open)) == (3, 3)
    for loan in loans:
        loan.checkin()


def test_what_is_needed_just_as_it_is_to_be_closed_stays_open(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loans = [pool.checkout(), pool.checkout()]
    for loan in loans:
        loan.checkin()
    store = pool._store
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


def test_who_parks_what_is_idle_may_lose_its_queue_meanwhile(pool: Pool) -> None:
    """To another thread, which has been interrupted, and has seen what is parked."""
    store = pool._store

    class Parked(list[Any]):
        def append(self, slot: Any) -> None:
            super().append(slot)
            store.renew(store.queue)

    lend(pool)[0].checkin()
    store._parked = Parked()
    store.park_idle()
    assert (store._parked, len(store.open)) == ([], 0)


def test_who_parks_what_is_idle_may_find_that_it_has_just_been_taken(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend(pool)[0].checkin()
    store = pool._store
    monkeypatch.setattr(store.queue, "checkedin", lambda: 2)
    store.park_idle()
    assert (len(store._parked), len(store.open)) == (1, 1)


def test_what_has_ended_before_it_had_a_connection_gets_none(pool: Pool) -> None:
    """Its request was over, in another thread."""
    loan = pool.admit(Loan(pool))
    loan.checkin()
    pool.take(loan)
    assert (loan.has_ended, loan.is_out, pool.gate.free) == (True, False, 3)


def test_what_a_forked_process_has_of_its_parent_is_nothing_to_it(
    server: FakeServer,
) -> None:
    pool = Pool("fake", connector(server), pool_size=2, max_idle=60.0)
    wrapper = Wrapper()
    loans = [pool.checkout(lambda: wrapper) for _ in range(2)]
    assert pool.look_after(time.monotonic()) is not None
    pool.abandon()
    for loan in loans:
        assert (loan.over, loan.borrower, loan in outsiders) == (True, None, False)
    assert (pool.is_disposed, pool.look_after(time.monotonic())) == (True, None)
    assert (pool.stats().opened, pool.numbers.file) == (0, None)
    for loan in loans:
        loan.checkin()
    assert (pool.gate.free, len(pool._store.open)) == (2, 0)


def test_a_pool_that_is_disposed_of_makes_nothing_fit_for_the_next(pool: Pool) -> None:
    loan, connection = lend(pool)
    fit = [pool.cleans(connection)]
    connection.is_doubtful = True
    fit.append(pool.cleans(connection))
    connection.is_doubtful = False
    pool.dispose()
    fit.append(pool.cleans(connection))
    assert fit == [True, False, False]
    loan.checkin()
