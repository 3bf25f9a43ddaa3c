"""Which connections a pool lends, what it closes others for, and waits for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.connection import Connection
from pooled_db.exceptions import Reason, ServerUnavailable
from pooled_db.pool.destination import Destination
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import Refused
from pooled_db.pool.pool import Pool
from pooled_db.pool.store import NoIdleConnection
from tests.clock import Clock
from tests.destinations import SETTINGS
from tests.harness.interrupts import Interrupted

HERE: Any
ELSEWHERE: Any
HERE, ELSEWHERE = "here", "elsewhere"
#: For how long the connections below have been idle, in seconds.
IDLE = 60.0


class Idle:
    """A connection that works, and may be lent as it is."""

    fresh = False
    destination = HERE
    is_clean = True
    closed_for: str | None = None

    def __init__(self, now: float) -> None:
        self.now = now
        self.expires = now + 1800.0
        self.idle_since = now - IDLE
        self.is_alive = lambda: True
        #: What it is asked with, and after how long it answers.
        self.within: list[float] = []
        self.answers_after = 0.0

    def answers(self, within: float) -> bool:
        self.within.append(within)
        return self.answers_after <= within


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        "pooled_db.pool.connector.time", SimpleNamespace(monotonic=clock)
    )
    return clock


def connect() -> Connection:
    raise AssertionError("nobody gets that far")


@pytest.fixture
def pool() -> Pool:
    return Pool("default", connect, pool_size=2)


@pytest.fixture
def loan(pool: Pool, clock: Clock) -> Loan:
    loan = Loan(pool)
    loan.destination = HERE
    loan.arrived, loan.deadline = clock.now - 3.0, clock.now + 5.0
    return loan


@pytest.fixture
def idle(clock: Clock) -> Any:
    return Idle(clock.now)


def is_fit(pool: Pool, idle: Any, loan: Loan) -> tuple[bool, str | None]:
    """Whether it is lent, and what it is closed for if not."""
    fit = pool._connector.is_fit(idle, loan)
    return fit, idle.closed_for


def test_an_idle_connection_is_lent_from_now_on(
    pool: Pool, idle: Idle, loan: Loan, clock: Clock
) -> None:
    assert is_fit(pool, idle, loan) == (True, None)
    assert (loan.since, loan.is_new, loan.pings) == (clock.now, False, 0)


def test_one_that_was_just_opened_is_as_it_is_to_be_once(
    pool: Pool, idle: Idle, loan: Loan, clock: Clock
) -> None:
    """The settings may have changed while it was opened: it leads where it leads."""
    idle.fresh, idle.is_clean, idle.destination = True, False, ELSEWHERE

    assert is_fit(pool, idle, loan) == (True, None)

    assert (loan.since, loan.is_new) == (clock.now, True)
    assert loan.destination is ELSEWHERE
    assert is_fit(pool, idle, loan) == (False, "doubtful")


@pytest.mark.parametrize(
    ("how", "closed_for"),
    [
        ({"destination": ELSEWHERE}, "moved"),
        ({"is_clean": False}, "doubtful"),
        ({"is_alive": lambda: False}, "dead"),
        ({"expires": 999.9}, "recycled"),
        ({"expires": 1000.0}, "recycled"),
    ],
)
def test_what_is_not_lent_is_closed_for_a_reason(
    pool: Pool, idle: Idle, loan: Loan, how: dict[str, Any], closed_for: str
) -> None:
    for name, value in how.items():
        setattr(idle, name, value)
    assert is_fit(pool, idle, loan) == (False, closed_for)


def test_one_that_leads_to_the_same_place_is_lent_though_that_was_read_again(
    pool: Pool, idle: Idle, loan: Loan
) -> None:
    """Each wrapper reads the settings anew."""
    here: Any = Destination(SETTINGS)
    again: Any = Destination(SETTINGS)
    idle.destination, loan.destination = here, again
    assert is_fit(pool, idle, loan) == (True, None)


@pytest.mark.parametrize(("expires", "fit"), [(999.9, True), (0.0, False)])
def test_while_nothing_can_be_opened_only_what_leads_to_a_lost_node_ends(
    pool: Pool, idle: Idle, loan: Loan, expires: float, fit: bool
) -> None:
    def fail() -> Connection:
        raise MySQLdb.OperationalError(2003, "Can't connect to server")

    with pytest.raises(MySQLdb.OperationalError):
        pool._connector.outages.of(HERE).connect(fail)
    idle.expires = expires

    assert is_fit(pool, idle, loan)[0] == fit


# Asking whether it works, which takes a round trip.


@pytest.mark.parametrize(
    ("ping_after", "pings"), [(None, 0), (IDLE + 1, 0), (IDLE, 1), (0.0, 1)]
)
def test_one_that_was_idle_for_long_is_asked(
    pool: Pool, idle: Idle, loan: Loan, ping_after: float | None, pings: int
) -> None:
    pool.ping_after = ping_after
    assert is_fit(pool, idle, loan) == (True, None)
    assert (loan.pings, len(idle.within)) == (pings, pings)


@pytest.mark.parametrize(("left", "within"), [(5.0, 1.0), (0.25, 0.25), (-2.0, 0.0)])
def test_it_has_a_second_to_answer_and_no_more_than_there_is_left(
    pool: Pool, idle: Idle, loan: Loan, left: float, within: float
) -> None:
    pool.ping_after = 0.0
    loan.deadline = idle.now + left
    assert is_fit(pool, idle, loan) == (True, None)
    assert idle.within == [within]


def test_the_time_that_it_takes_to_answer_is_no_time_of_use(
    pool: Pool, idle: Any, loan: Loan, clock: Clock
) -> None:
    def answers(within: float) -> bool:
        clock.now += 0.5
        return True

    pool.ping_after, idle.answers = 0.0, answers
    assert is_fit(pool, idle, loan) == (True, None)
    assert loan.since == clock.now


@pytest.mark.parametrize("left", [0.0, -2.0])
def test_who_has_no_time_left_after_one_that_does_not_answer_is_refused(
    pool: Pool, idle: Idle, loan: Loan, left: float
) -> None:
    pool.ping_after, idle.answers_after = 0.0, 60.0
    loan.deadline = idle.now + left
    with pytest.raises(Refused) as refused:
        is_fit(pool, idle, loan)
    assert (refused.value.reason, refused.value.waited) == (Reason.TIMEOUT, 3.0)
    assert idle.closed_for == "dead"


def test_who_has_time_left_looks_for_another(
    pool: Pool, idle: Idle, loan: Loan
) -> None:
    pool.ping_after, idle.answers_after = 0.0, 60.0
    assert is_fit(pool, idle, loan) == (False, "dead")


def test_who_must_not_wait_asks_nothing(pool: Pool, idle: Idle, loan: Loan) -> None:
    pool.ping_after, loan.idle_only = 0.0, True
    with pytest.raises(NoIdleConnection):
        is_fit(pool, idle, loan)
    assert idle.within == []


# What is worth waiting for, when no other connection can be opened.


AWAY = ServerUnavailable(2003, "Can't connect to server")
FULL = ServerUnavailable(1040, "Too many connections")


@pytest.mark.parametrize(
    ("there", "error", "is_worth_it"),
    [
        # A server that is full makes room, wherever the others lead.
        ([HERE], FULL, True),
        ([ELSEWHERE], FULL, True),
        ([HERE], AWAY, True),
        ([ELSEWHERE], AWAY, False),
        ([], AWAY, False),
        ([], FULL, False),
    ],
)
@pytest.mark.parametrize("is_open", [True, False])
def test_what_others_have_or_are_just_opening_is_waited_for(
    pool: Pool,
    loan: Loan,
    there: list[Any],
    error: ServerUnavailable,
    is_worth_it: bool,
    is_open: bool,
) -> None:
    for destination in there:
        if is_open:
            connection: Any = Idle(0.0)
            connection.destination = destination
            entry: Any = None
            pool._store.open[connection] = entry
        else:
            other = Loan(pool)
            other.destination = destination
            pool._connector.limit.opening.add(other)
    assert pool._connector.may_wait(loan, error) == is_worth_it


@pytest.mark.parametrize(
    ("error", "seconds", "is_worth_it"),
    [(FULL, 4.9, True), (FULL, 5.1, False), (AWAY, 0.0, False)],
)
def test_with_nothing_there_only_room_is_waited_for_and_5_s_at_most(
    pool: Pool,
    loan: Loan,
    clock: Clock,
    error: ServerUnavailable,
    seconds: float,
    is_worth_it: bool,
) -> None:
    pool.gate.clock = clock
    pool._connector.limit.failed(clock.now, "it is full", no_room=True)
    clock.now += seconds
    assert pool._connector.may_wait(loan, error) == is_worth_it


@pytest.mark.parametrize(
    "error", [Interrupted(), MySQLdb.ProgrammingError(1064, "init_command")]
)
def test_what_was_not_opened_for_another_reason_is_waited_for_by_nobody(
    error: BaseException,
) -> None:
    def fail() -> Connection:
        raise error

    failing = Pool("default", fail)
    with pytest.raises(type(error)):
        failing.checkout()
    assert failing._connector.others(Loan(failing), AWAY) == 0


def test_an_attempt_may_well_succeed_unless_the_last_has_failed() -> None:
    """Others wait for what it opens, in place of the same refusal."""
    others: list[int] = []

    def fail() -> Connection:
        others.append(failing._connector.others(Loan(failing), AWAY))
        raise MySQLdb.OperationalError(*AWAY.args)

    failing = Pool("default", fail)
    for _ in range(2):
        failing._connector.outages.may_end()
        with pytest.raises(ServerUnavailable) as unavailable:
            failing.checkout()
        assert unavailable.value.alias == "default"
        assert failing._connector.others(Loan(failing), AWAY) == 0
    assert others == [1, 0]
