"""What an interrupt leaves of a pool's connections, and of its room for more."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.numbers import Numbers
from pooled_db.pool.permit import ADMITTED, CLOSED, READY, RETURNED, TAKING, State
from pooled_db.pool.pool import Pool
from tests.harness.interrupts import Interrupted
from tests.loans import connection_of, lend


@pytest.mark.parametrize("slot_is", ["kept", "put back", "just being put back"])
@pytest.mark.parametrize("when", ["it is taken", "it goes back"])
def test_who_is_interrupted_after_closing_one_closes_it_once(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, when: str, slot_is: str
) -> None:
    """Another thread may have put its slot back meanwhile, to open one in it."""
    (loan, connection), discard = lend(pool), pool._connector.discard

    def is_interrupted(slot: Any, queue: Any) -> None:
        monkeypatch.undo()
        discard(slot, queue)
        if slot_is == "put back":
            pool._store._put_back_an_empty_slot()
        elif slot_is == "just being put back":
            pool._store._empty.remove(slot)
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


def test_a_queue_that_another_has_replaced_already_is_not_replaced_again(
    pool: Pool,
) -> None:
    """Two threads were interrupted in it."""
    store = pool._store
    interrupted = store.queue
    store.renew(interrupted)
    instead = store.queue
    loan, connection = lend(pool)
    store.renew(interrupted)
    assert (store.queue is instead, instead is interrupted) == (True, False)
    loan.checkin()
    assert list(store.open) == [connection]


@pytest.mark.parametrize("closed_for", [None, "moved"])
def test_what_an_interrupt_has_cut_off_is_closed_and_known_no_more(
    pool: Pool, closed_for: str | None
) -> None:
    (other, of_another), (loan, connection) = lend(pool), lend(pool)
    loan.checkin()
    store = pool._store
    store.queue._do_get()  # and interrupted before anybody had it
    connection.closed_for = closed_for
    store.renew(store.queue)

    assert list(store.open) == [of_another]
    assert not connection.is_alive()
    assert pool.stats().closed[closed_for or "doubtful"] == 1
    other.checkin()


@pytest.mark.parametrize(
    ("opened_here", "is_closed"),
    # Another thread is just about to have what it has opened.
    [(True, True), (False, False)],
)
def test_of_what_is_just_opened_an_interrupt_has_cut_off_only_its_own_threads(
    pool: Pool, opened_here: bool, is_closed: bool
) -> None:
    store, here = pool._store, pool._connector.here
    here.loan = Loan(pool)
    entry = store.queue._do_get()
    here.loan = None
    connection: Any = entry.dbapi_connection
    if not opened_here:
        connection.opened_by += 1
    store.renew(store.queue)
    assert (store.open, connection.is_alive()) == (
        {} if is_closed else {connection: entry},
        not is_closed,
    )
    connection.close()


def test_what_others_have_is_left_as_it_is_after_an_interrupt(pool: Pool) -> None:
    """It is closed when it is back, without being made as new before."""
    loan = pool.admit(Loan(pool))
    pool.take(loan)
    store = pool._store
    store.renew(store.queue)
    connection = connection_of(loan)
    assert (connection.is_clean, connection.is_alive()) == (True, True)
    connection.is_clean, connection.is_dirty = False, True
    loan.checkin()
    stats = pool.stats()
    assert (stats.closed["disposed"], stats.resets) == (1, 0)
    assert loan.state is CLOSED


def test_what_another_thread_just_takes_after_an_interrupt_is_lent_to_nobody(
    pool: Pool,
) -> None:
    """Not closed under its hands: it sees what it has."""
    loan, connection = lend(pool)
    loan.checkin()
    store = pool._store
    entry: Any = store.queue._do_get()

    class Taken(Connection):
        @property
        def is_clean(self) -> bool:
            return False

        @is_clean.setter
        def is_clean(self, clean: bool) -> None:
            entry.fairy_ref = lambda: None

    connection.__class__ = Taken
    store.renew(store.queue)
    connection.__class__ = Connection
    assert (list(store.open), connection.is_alive()) == ([connection], True)
    connection.close()


@pytest.mark.parametrize("error", [Interrupted(), ValueError("a mistake")])
def test_where_the_closing_of_what_is_idle_fails_no_room_is_lost(
    pool: Pool, error: BaseException
) -> None:
    """Though somebody keeps the traceback, as logs do."""

    def fail(*args: object) -> None:
        raise error

    lend(pool)[0].checkin()
    pool._store.park_idle()
    pool.on_closed = fail
    with pytest.raises(type(error)) as kept:
        pool._store.close_parked(time.monotonic(), 0)
    pool.on_closed = None
    assert pool.checkedout() == 0, kept
    loans = [pool.checkout() for _ in range(3)]
    for loan in loans:
        loan.checkin()


def test_who_is_interrupted_as_it_connects_costs_nobody_else_a_connection(
    pool: Pool,
) -> None:
    """The queue knows that it has none of that."""
    connect = pool.connect

    def is_interrupted() -> Connection:
        raise Interrupted

    other = pool.checkout()
    pool.connect = is_interrupted
    with pytest.raises(Interrupted):
        pool.checkout()
    pool.connect = connect
    other.checkin()
    assert (other.state, len(pool._store.open)) == (RETURNED, 1)


def test_what_it_was_to_be_closed_for_is_told_though_that_was_interrupted(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_interrupted(*args: object) -> None:
        raise Interrupted

    loan = pool.checkout()
    monkeypatch.setattr(pool._connector, "close", is_interrupted)
    with pytest.raises(Interrupted):
        loan.discard()
    assert pool.stats().closed["discarded"] == 1


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


@pytest.mark.parametrize("begins_as", [ADMITTED, TAKING])
def test_who_tries_again_is_taking_it_meanwhile(pool: Pool, begins_as: State) -> None:
    """Nobody else may take it, nor call it back."""
    connect, states = pool.connect, []

    def is_interrupted_once() -> Connection:
        states.append(loan.state)
        if len(states) == 1:
            raise Interrupted
        return connect()

    pool.connect = is_interrupted_once
    loan = Loan(pool)
    loan.begins_as = begins_as
    pool.admit(loan)
    with pytest.raises(Interrupted):
        pool.take(loan)
    pool.take(loan)
    assert (states, loan.state) == ([TAKING] * 2, READY)
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
