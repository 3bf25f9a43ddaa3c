"""What a pool learns from each connection that it opens, cannot open, or closes."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import MySQLdb.cursors
import pytest

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.driver.connection import Connection
from pooled_db.driver.slot import AT_WORK, CONNECTION, RESTED, SINCE, TRANSACTION
from pooled_db.driver.slot import SIZE as SLOT_SIZE
from pooled_db.pool.numbers import SIZE, Numbers
from pooled_db.pool.pool import Pool
from tests.gates import PATIENCE, start
from tests.harness.fake_server import FakeServer
from tests.loans import connector, lend

FULL = (1040, "Too many connections")
OFFLINE = (3032, "The server is currently in offline mode")


def refused(pool: Pool) -> None:
    """Ask for a connection, which cannot be had, when it is time to try again."""
    pool.gate.limit = pool.gate.capacity
    pool._connector.outages.may_end()
    with pytest.raises((PoolTimeout, ServerUnavailable)):
        pool.checkout()


def test_an_idle_connection_is_lent_before_another_is_opened_though_it_is_parked(
    pool: Pool,
) -> None:
    lend(pool)[0].checkin()
    pool._store.park_idle()
    lend(pool)[0].checkin()
    assert pool.stats().opened == 1


def test_what_is_just_being_parked_is_waited_for(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upkeep has taken it out of the queue, and has not put it down yet."""
    pool = Pool("fake", connector(server), pool_size=1)
    lend(pool)[0].checkin()
    slot = pool._store.queue.connect()

    def puts_it_down(seconds: float) -> None:
        """Go on, as the other thread can once this one lets go of the interpreter."""
        assert seconds == 0
        pool._store._parked.append(slot)

    monkeypatch.setattr(
        "pooled_db.pool.store.time", SimpleNamespace(sleep=puts_it_down)
    )
    lend(pool)[0].checkin()
    assert pool.stats().opened == 1


def test_a_connection_lives_for_recycle_and_up_to_a_tenth_less(pool: Pool) -> None:
    before = time.monotonic()
    loan, connection = lend(pool)
    after = time.monotonic()
    assert before + 900.0 <= connection.expires <= after + 1000.0
    assert before <= connection.rested <= after
    assert pool.stats().connects.sum <= after - before
    assert connection.alias == "fake"
    loan.checkin()


def test_what_has_opened_it_sets_what_all_its_users_find(pool: Pool) -> None:
    """Such as the class of its cursors, in a backend of the project's own."""

    class Cursor(MySQLdb.cursors.Cursor):
        """The project's own."""

    def connect() -> Connection:
        connection = opens()
        connection.cursorclass = Cursor
        return connection

    opens, pool.connect = pool.connect, connect
    for _ in range(2):
        loan, connection = lend(pool)
        assert connection.cursorclass is Cursor
        connection.cursorclass = MySQLdb.cursors.DictCursor
        loan.checkin()
    assert pool.stats().opened == 1


@pytest.mark.parametrize(("is_new", "longest"), [(True, 30.0), (False, 1000.0)])
def test_where_an_address_is_new_the_others_move_soon(
    pool: Pool, is_new: bool, longest: float
) -> None:
    def opens() -> Connection:
        connection = pool.connect()
        connection.is_at_new_address = is_new
        return connection

    first, connection = lend(pool)
    second = pool.checkout(leading=(pool.home, opens))  # type: ignore[arg-type]
    assert longest / 2 < connection.expires - time.monotonic() <= longest
    first.checkin()
    second.checkin()


@pytest.mark.parametrize(("max_idle", "within"), [(60.0, 1.75), (1.0, 1.0)])
def test_somebody_looks_after_what_is_open(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, max_idle: float, within: float
) -> None:
    watched: list[tuple[object, float]] = []
    upkeep: Any = SimpleNamespace(watch=lambda pool, at: watched.append((pool, at)))
    monkeypatch.setattr("pooled_db.pool.connector.upkeep", upkeep)
    before = time.monotonic()
    for kept_for in (None, max_idle):
        made = Pool("fake", pool.connect, max_idle=kept_for)
        lend(made)[0].checkin()
        made.dispose()
    ((whose, at),) = watched
    assert whose is made
    assert before + within <= at <= time.monotonic() + within


def test_one_that_leads_elsewhere_than_was_asked_for_is_lent_for_that(
    pool: Pool,
) -> None:
    """The settings were changed while it was opened."""
    elsewhere: Any = object()

    def opens() -> Connection:
        connection = pool.connect()
        connection.destination = elsewhere
        return connection

    loan = pool.checkout(leading=(object(), opens))  # type: ignore[arg-type]
    assert loan.destination is elsewhere
    loan.checkin()
    lend(pool)[0].checkin()
    assert dict(pool.stats().closed)["moved"] == 1


@pytest.mark.parametrize(("error", "has_room"), [(FULL, False), (OFFLINE, True)])
def test_others_are_told_that_the_server_has_no_room(
    pool: Pool, server: FakeServer, error: tuple[int, str], has_room: bool
) -> None:
    before = time.monotonic()
    server.says("login", *error)
    refused(pool)
    no_room = pool.numbers.read()["no_room"]
    assert no_room == 0.0 if has_room else before <= no_room <= time.monotonic()


@pytest.mark.parametrize(("error", "granted"), [(FULL, 0), (OFFLINE, 3)])
def test_where_there_is_none_only_room_is_waited_for(
    pool: Pool, server: FakeServer, error: tuple[int, str], granted: int
) -> None:
    """A server that is full grants none, and of one that is away it is not known."""
    server.says("login", *error)
    refused(pool)
    assert pool.stats().granted == pool.gate.limit == granted


def test_the_error_of_a_connect_is_the_drivers(pool: Pool, server: FakeServer) -> None:
    server.says("login", *OFFLINE)
    with pytest.raises(ServerUnavailable) as refused:
        pool.checkout()
    cause = refused.value.__cause__
    assert type(cause) is MySQLdb.OperationalError
    assert refused.value.args == cause.args == OFFLINE
    assert refused.value.alias == "fake"


@pytest.mark.parametrize(
    ("is_late", "why"),
    [
        (False, "the server has too many connections (error 1040)"),
        (True, "the proxy's server has no room"),
    ],
)
def test_why_the_server_grants_no_more_is_logged(
    pool: Pool,
    server: FakeServer,
    caplog: pytest.LogCaptureFixture,
    is_late: bool,
    why: str,
) -> None:
    kept, connection = lend(pool)
    if is_late:
        another, connection = lend(pool)
        connection.met_no_room = True
        another.discard()
    else:
        server.says("login", *FULL)
        refused(pool)
    (line,) = caplog.messages
    assert line.startswith(f"Limit 1 of 3 granted for 'fake': {why}. Requests wait")
    kept.checkin()


@pytest.mark.parametrize(
    ("there", "error", "pause"),
    [(0, FULL, 0.08), (1, FULL, 0.12), (2, FULL, 0.24), (1, OFFLINE, 0.2)],
)
def test_who_has_fewer_looks_for_room_sooner(
    pool: Pool, server: FakeServer, there: int, error: tuple[int, str], pause: float
) -> None:
    """Each pause is up to a quarter longer."""
    loans = [pool.checkout() for _ in range(there)]
    server.says("login", *error)
    for _ in range(5):
        before = time.monotonic()
        refused(pool)
    after = time.monotonic()
    outage = pool._connector.outages.of(None)
    assert before + pause <= outage.retry_at <= after + 1.25 * pause
    for loan in loans:
        loan.checkin()


def test_what_the_server_grants_is_told_and_grows_again(
    pool: Pool, server: FakeServer
) -> None:
    ahead = 0.0
    pool.gate.clock = lambda: time.monotonic() + ahead
    loans = [pool.checkout()]
    granted = [pool.stats().granted]
    for error in (FULL, None, FULL):
        if error is None:
            server.recovers()
            ahead += max(0.0, pool.gate.raise_at - pool.gate.clock())
            pool._connector.outages.may_end()
            loans.append(pool.checkout())
        else:
            server.says("login", *error)
            refused(pool)
        granted.append(pool.stats().granted)
        assert pool.numbers.read()["granted"] == granted[-1]
    assert granted == [3, 1, 2, 2]
    for loan in loans:
        loan.checkin()


# What is closed.


@pytest.mark.parametrize(("why", "longest"), [("dead", 30.0), (None, 1000.0)])
def test_where_one_is_lost_the_others_end_soon_and_those_of_its_node_at_once(
    pool: Pool, why: str | None, longest: float
) -> None:
    lost, here, there = (lend(pool) for _ in range(3))
    lost[1].node, here[1].node, there[1].node = "a", "a", "b"
    lost[1].closed_for = why
    lost[0].discard()

    assert (here[1].expires == 0.0) == (why == "dead")
    assert longest / 2 < there[1].expires - time.monotonic() <= longest
    here[0].checkin()
    there[0].checkin()


@pytest.mark.parametrize(
    ("sign", "limit"), [(None, 3), ("met_no_room", 1), ("makes_room", 1)]
)
def test_room_is_left_where_one_says_that_there_is_none(
    pool: Pool, sign: str | None, limit: int
) -> None:
    (kept, _), (closed, connection) = lend(pool), lend(pool)
    if sign is not None:
        setattr(connection, sign, True)
    closed.discard()
    assert pool.gate.limit == limit
    assert pool.stats().granted == (1 if sign == "met_no_room" else 3)
    kept.checkin()


def test_a_finalizer_that_comes_while_the_gate_is_locked_waits_for_nobody(
    pool: Pool,
) -> None:
    loan, connection = lend(pool)
    connection.makes_room = True
    with pool.gate.lock:
        start(loan.discard).result(PATIENCE)
    pool.gate.settle()
    assert pool.gate.free == 3


def test_which_connections_are_opened_and_what_they_are_closed_for_is_told(
    server: FakeServer,
) -> None:
    opened: list[Connection] = []
    told: list[tuple[Connection, str]] = []
    pool = Pool("fake", connector(server), pool_size=1, max_overflow=1)
    pool.on_opened = opened.append
    pool.on_closed = lambda connection, why: told.append((connection, why))
    (first, kept), (second, beyond) = lend(pool), lend(pool)
    first.checkin()
    second.checkin()
    pool.dispose()
    assert opened == [kept, beyond]
    assert told == [(beyond, "overflow"), (kept, "disposed")]
    closed = pool.stats().closed
    assert {why: closed[why] for why in closed if closed[why]} == {
        "overflow": 1,
        "disposed": 1,
    }


def test_a_connection_that_is_closed_leaves_its_place_in_the_file(
    server: FakeServer,
) -> None:
    memory = memoryview(bytearray(8 * (SIZE + SLOT_SIZE)))
    numbers = Numbers(memory, slots=1)
    pool = Pool("fake", connector(server), pool_size=1, numbers=numbers)
    for _ in range(2):
        loan, connection = lend(pool)
        slots: list[object] = [connection.slot]
        assert not numbers.free
        assert numbers.slots[0].words[CONNECTION] == connection.connection_id
        loan.discard()
        slots.append(connection.slot)
        assert [slot is None for slot in slots] == [False, True]
        assert len(numbers.free) == 1


def test_a_place_in_the_file_tells_nothing_of_who_had_it_before() -> None:
    numbers = Numbers(memoryview(bytearray(8 * (SIZE + SLOT_SIZE))), slots=1)
    slot = numbers.occupy(1)
    assert slot is not None
    slot.words[AT_WORK] = slot.words[TRANSACTION] = True
    slot.times[SINCE] = slot.times[RESTED] = 5.0
    numbers.vacate(slot)
    slot = numbers.occupy(2)
    assert slot is not None
    assert (slot.times[SINCE], slot.times[RESTED]) == (0.0, 0.0)
    numbers.lent(0.0, 7.0, slot)
    assert (slot.words[AT_WORK], slot.words[TRANSACTION]) == (0, 0)


def test_what_one_has_left_open_is_no_work_of_the_next(server: FakeServer) -> None:
    """The session is as new, and no statement has been made since."""
    server.answers("SELECT @@init_connect", [["", "NONE"]])
    memory = memoryview(bytearray(8 * (SIZE + SLOT_SIZE)))
    numbers = Numbers(memory, slots=1)
    pool = Pool("fake", connector(server), pool_size=1, numbers=numbers)
    seen = []
    for _ in range(2):
        loan, connection = lend(pool)
        assert connection.slot is not None
        words = connection.slot.words
        seen.append((words[AT_WORK], words[TRANSACTION]))
        connection.autocommit(False)
        connection.query("SET @a = 1")
        connection.store_result()
        seen.append((words[AT_WORK], words[TRANSACTION]))
        loan.checkin()
    assert seen == 2 * [(0, 0), (1, 1)]
    assert (pool.stats().opened, pool.stats().resets) == (1, 2)
    pool.dispose()
