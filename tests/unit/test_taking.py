"""What is taken out of a pool, and what of it is not lent on: late, or at its end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import MySQLdb
import pytest
from django.db import connections

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.driver.connection import Connection
from pooled_db.exceptions import Reason
from pooled_db.pool import host, state_file
from pooled_db.pool.destination import Destination
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, READY, TAKING, Refused
from pooled_db.pool.pool import Pool, outsiders
from pooled_db.pool.store import NoIdleConnection
from tests.harness.fake_server import FakeServer
from tests.loans import connector, lend

OFFLINE = (3032, "The server is currently in offline mode")


class Wrapper:
    has_atomic_block = False

    def detach(self) -> None: ...


def test_who_must_not_wait_puts_back_what_would_have_to_be_asked(pool: Pool) -> None:
    lend(pool)[0].checkin()
    pool.ping_after = 0.0
    loan = pool.admit(Loan(pool))
    with pytest.raises(NoIdleConnection) as kept:
        pool.take_idle(loan)
    assert (pool.checkedout(), len(pool._store.open)) == (0, 1), kept
    pool.take(loan)  # in a thread
    assert loan.pings == 1
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


@pytest.mark.parametrize("keep", [False, True])
def test_what_was_taken_outside_of_requests_is_remembered_until_it_is_back(
    pool: Pool, keep: bool
) -> None:
    ref = Wrapper
    loan = pool.checkout(ref)
    assert loan in outsiders
    assert loan.begun  # it goes before newcomers
    assert (loan.user, loan.borrower) == (threading.get_ident(), ref)
    loan.checkin(keep)
    assert loan not in outsiders


def test_what_a_pool_has_is_seen_by_those_who_read_its_file(
    server: FakeServer, tmp_path: Path
) -> None:
    about = {"alias": "fake", "settings": {}}
    numbers = state_file.create(tmp_path / "state", 4, about)
    pool = Pool("fake", connector(server), pool_size=3, numbers=numbers)

    def states() -> list[str]:
        (process,) = host.look(tmp_path / "state").processes
        seen = process.pools["fake"]
        assert (seen.stats.limit, seen.stats.granted) == (3, 3)
        return [held.state for held in seen.connections]

    loan = pool.checkout()
    seen = [states()]
    loan.checkin()
    seen.append(states())
    pool.dispose()
    seen.append(states())
    assert seen == [["at rest"], ["idle"], []]


@pytest.mark.parametrize("autocommit", [False, True])
def test_in_autocommit_mode_nothing_is_asked_of_the_server_for_the_next(
    server: FakeServer, autocommit: bool
) -> None:
    pool = Pool("fake", connector(server), autocommit=autocommit)
    loan, connection = lend(pool)
    assert pool.needs_cleaning(connection) is not autocommit
    loan.checkin()


@pytest.mark.parametrize(
    ("reset", "resets"), [("dirty", [0, 1]), ("always", [1, 2]), ("rollback", [0, 0])]
)
def test_which_sessions_are_made_new_is_the_pools_to_say(
    server: FakeServer, reset: str, resets: list[int]
) -> None:
    server.answers("SELECT @@init_connect", [["", "NONE"]])
    pool = Pool("fake", connector(server), reset=reset)
    counted = []
    for is_dirty in (False, True):
        loan, connection = lend(pool)
        connection.is_dirty = is_dirty
        loan.checkin()
        counted.append(pool.stats().resets)
    assert counted == resets
    pool.dispose()


def test_the_most_that_were_lent_at_once_are_told(pool: Pool) -> None:
    peaks = []
    for count in (1, 3, 2):
        loans = [pool.checkout() for _ in range(count)]
        peaks.append(pool.stats().peak)
        for loan in loans:
            loan.checkin()
    assert peaks == [1, 3, 3]


def test_who_is_refused_outside_of_requests_is_told_which_line_took_the_others(
    server: FakeServer,
) -> None:
    pool = Pool("fake", connector(server), pool_size=1, timeout=0.01)
    loan = pool.checkout()
    with pytest.raises(PoolTimeout, match=rf"{__file__}:\d+ in test_who_is_refused"):
        pool.checkout()
    loan.checkin()


def test_what_another_thread_of_its_request_just_takes_is_taken_once(
    pool: Pool,
) -> None:
    loan = pool.admit(Loan(pool))
    loan.state = TAKING
    pool.take(loan)
    assert (loan.state, loan.is_out, pool.stats().opened) == (TAKING, False, 0)
    loan.state = ADMITTED
    loan.checkin()


def test_who_cannot_connect_has_one_that_comes_back_in_time(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Connection:
        raise MySQLdb.OperationalError(*OFFLINE)

    first, connection = lend(pool)
    pool.connect, pool.timeout = fail, 60.0
    acquire_again = pool.gate.acquire_again

    def as_it_comes_back(loan: Loan) -> None:
        first.checkin()
        acquire_again(loan)

    monkeypatch.setattr(pool.gate, "acquire_again", as_it_comes_back)
    second, same = lend(pool)
    assert same is connection
    second.checkin()


def test_who_cannot_connect_and_has_nothing_to_wait_for_is_refused_at_once(
    pool: Pool, server: FakeServer
) -> None:
    server.says("login", *OFFLINE)
    with pytest.raises(ServerUnavailable):
        pool.checkout()
    assert pool.stats().refused_by["unavailable"] == pool.stats().refused == 1


@pytest.mark.parametrize(
    ("is_there", "error", "reason"),
    [(True, PoolTimeout, "timeout"), (False, ServerUnavailable, "unavailable")],
)
def test_who_has_waited_in_vain_for_others_is_told_what_was_in_vain(
    pool: Pool,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    is_there: bool,
    error: type[Exception],
    reason: str,
) -> None:
    def in_vain(loan: Loan) -> None:
        if not is_there:
            other.discard()
        raise Refused(Reason.TIMEOUT, 7.0)

    other = pool.checkout()
    pool.timeout = 60.0
    server.says("login", *OFFLINE)
    monkeypatch.setattr(pool.gate, "acquire_again", in_vain)
    with pytest.raises(error) as refused:
        pool.checkout()
    assert pool.stats().refused_by[reason] == pool.stats().refused == 1
    if isinstance(refused.value, PoolTimeout):
        assert refused.value.waited == 7.0
    other.checkin()


@pytest.mark.parametrize("when", ["another is taken", "it is given back"])
def test_what_lasts_for_too_long_is_seen_in_passing(
    server: FakeServer, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    pool = Pool("fake", connector(server), pool_size=2, warn_after=5.0)
    loans = [pool.checkout()]
    loans[0].since -= 60.0
    if when == "another is taken":
        pool._overdue._next = 0.0  # type: ignore[union-attr]
        loans.append(pool.checkout())
    else:
        loans[0].checkin()
    assert "held for longer than warn_after (5 s)" in caplog.text
    for loan in loans:
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


def test_what_has_ended_before_it_had_a_connection_gets_none(pool: Pool) -> None:
    """Its request was over, in another thread."""
    loan = pool.admit(Loan(pool))
    loan.checkin()
    pool.take(loan)
    assert (loan.has_ended, loan.is_out, pool.gate.free) == (True, False, 3)


def test_what_ends_before_it_has_a_connection_is_ready_for_nobody(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread of its request has just ended it, and a third asks for it."""
    loan, lent = pool.admit(Loan(pool)), []

    def ends() -> None:
        lent.append(loan.lend(Wrapper, threading.get_ident()))
        monkeypatch.undo()
        loan.checkin()

    monkeypatch.setattr(loan, "checkin", ends)
    loan.over = True
    pool.take(loan)
    assert (lent, loan.has_ended) == ([False], True)


def test_who_takes_a_connection_as_soon_as_it_may_asks_the_gate_no_more(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loan = Loan(pool)
    loan.begins_as = TAKING
    pool.admit(loan)
    monkeypatch.setattr(pool.gate, "lock", None)
    pool.take(loan)
    monkeypatch.undo()
    assert loan.state is READY
    loan.checkin()


@pytest.mark.parametrize(("ping_after", "pings"), [(None, 0), (0.0, 1), (60.0, 0)])
def test_what_was_used_just_now_is_asked_whether_it_works_only_if_all_are(
    server: FakeServer, ping_after: float | None, pings: int
) -> None:
    pool = Pool("fake", connector(server), ping_after=ping_after)
    lend(pool)[0].checkin()
    loan, _ = lend(pool)
    assert loan.pings == pings
    loan.checkin()
    pool.dispose()


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
    assert pool.stats().closed["disposed"] == 2


@pytest.mark.parametrize(("keep", "why"), [(True, "dirty"), (False, "discarded")])
def test_what_cannot_be_made_fit_is_told_from_what_its_user_gives_up(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, keep: bool, why: str
) -> None:
    monkeypatch.setattr(pool._cleaning, "cleans", lambda connection: False)
    pool.checkout().checkin(keep)
    assert pool.stats().closed[why] == 1


def test_for_how_long_it_was_waited_for_is_counted(pool: Pool) -> None:
    loan = pool.admit(Loan(pool))
    loan.waited = 3.0
    pool.take(loan)
    assert (pool.stats().waits.count, pool.stats().waits.sum) == (1, 3.0)
    loan.checkin()


def test_a_loan_leads_to_its_pools_home_if_not_told_otherwise() -> None:
    home = Destination(connections["default"].settings_dict)
    pool = Pool("fake", Connection, home=home)
    assert (pool.home, Loan(pool).destination) == (home, home)


def test_for_how_long_it_was_lent_is_counted(pool: Pool) -> None:
    loan = pool.checkout()
    before = time.monotonic()
    loan.since = before - 60.0
    loan.checkin()
    assert 60.0 <= pool.stats().uses.sum <= 60.001 + time.monotonic() - before


def test_what_goes_back_just_as_its_pool_is_disposed_of_is_closed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was found to be fit, and goes into a queue that nobody has any more."""

    def cleans(connection: Connection) -> bool:
        pool.dispose()
        return True

    loan, connection = lend(pool)
    monkeypatch.setattr(pool._cleaning, "cleans", cleans)
    loan.checkin()
    assert (connection.is_alive(), len(pool._store.open)) == (False, 0)
    assert pool.stats().closed["disposed"] == 1


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
