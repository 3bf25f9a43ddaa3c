"""What is done to a session before its next user gets it, and where.

What each of it cleans on a server is for tests/server/test_cleaning.py.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.use import OwnUse
from pooled_db.pool import cleaners
from pooled_db.pool.cleaning import Cleaning
from pooled_db.pool.numbers import Numbers
from pooled_db.pool.on_call import OnCall

USE = OwnUse(None)


class Session:
    """One whose last statement has ended, and which may have been changed."""

    is_doubtful = False
    is_clean = False
    has_rows = False
    loan: Any = USE

    def __init__(
        self,
        *,
        is_dirty: bool = False,
        mode: bool = True,
        home_mode: bool = True,
        fails: bool = False,
    ) -> None:
        self.is_dirty = is_dirty
        self.mode = mode
        self.home_mode = home_mode
        self.fails = fails
        self.done: list[str] = []
        #: Which threads were allowed to use it meanwhile.
        self.users: list[int | None] = []

    @property
    def is_at_rest(self) -> bool:
        return self.mode is self.home_mode and not self.is_dirty

    def is_drained(self) -> bool:
        return not self.has_rows

    def get_autocommit(self) -> bool:
        return self.mode

    def autocommit(self, on: bool) -> None:
        self.mode = on

    def rollback(self) -> None:
        if self.fails:
            raise MySQLdb.OperationalError(2006, "Server has gone away")
        self.done.append("rollback")
        self.users.append(self.loan.user)

    def reset_session(self, autocommit: bool) -> bool:
        self.done.append("reset")
        self.users.append(self.loan.user)
        self.mode = autocommit
        self.is_dirty = False
        return not self.fails


def clean(session: Any, reset: str, autocommit: bool = True) -> tuple[bool, int]:
    """Whether it may be lent on, and how many resets were counted."""
    numbers = Numbers()
    cleaning = Cleaning(reset, autocommit, numbers)
    takes_a_round_trip = cleaning.needs_io(session)
    is_fit = cleaning.cleans(session)
    assert takes_a_round_trip == bool(session.done or session.fails)
    return is_fit, int(numbers.read()["resets"])


@pytest.mark.parametrize(
    ("reset", "session", "done"),
    [
        ("dirty", Session(), []),
        ("dirty", Session(is_dirty=True), ["reset"]),
        ("dirty", Session(mode=False), ["rollback"]),
        ("always", Session(), ["reset"]),
        ("always", Session(is_dirty=True), ["reset"]),
        ("rollback", Session(), []),
        ("rollback", Session(is_dirty=True), ["rollback"]),
    ],
)
def test_a_session_is_made_new_where_that_is_asked_for(
    reset: str, session: Session, done: list[str]
) -> None:
    assert clean(session, reset) == (True, done.count("reset"))
    assert (session.done, session.is_clean, session.mode) == (done, True, True)
    assert (session.is_dirty, session.loan) == (False, USE)
    assert session.users == [threading.get_ident()] * len(done)


@pytest.mark.parametrize(
    ("reset", "done"),
    [("dirty", "rollback"), ("always", "reset"), ("rollback", "rollback")],
)
def test_without_autocommit_a_transaction_may_be_open(reset: str, done: str) -> None:
    session = Session(mode=False, home_mode=False)
    assert clean(session, reset, autocommit=False)[0]
    assert (session.done, session.is_clean, session.mode) == ([done], True, False)


@pytest.mark.parametrize("reset", ["dirty", "always", "rollback"])
def test_what_nobody_has_used_since_it_was_cleaned_is_not_cleaned_again(
    reset: str,
) -> None:
    session = Session()
    session.is_clean = True
    assert clean(session, reset) == (True, 0)
    assert session.done == []


def test_what_turns_out_to_have_been_read_to_its_end_takes_no_round_trip() -> None:
    class Unread(Session):
        """One whose driver is yet to be asked whether any rows are left."""

        is_at_rest = False

    session = Unread()
    assert clean(session, "dirty") == (True, 0)
    assert (session.done, session.is_clean) == ([], True)


@pytest.mark.parametrize("reset", ["dirty", "always", "rollback"])
def test_a_session_that_cannot_be_cleaned_is_not_lent_on(reset: str) -> None:
    session = Session(is_dirty=True, fails=True)
    assert clean(session, reset) == (False, 0)
    assert not session.is_clean
    assert session.loan is USE


@pytest.mark.parametrize("left", ["is_doubtful", "has_rows"])
def test_what_is_in_doubt_is_not_even_asked(left: str) -> None:
    session: Any = Session(is_dirty=True)
    setattr(session, left, True)
    assert not Cleaning("dirty", True, Numbers()).cleans(session)
    assert session.done == []


def test_what_another_thread_has_just_now_is_given_back_off_the_event_loop() -> None:
    class InUse(Session):
        def get_autocommit(self) -> bool:
            raise MySQLdb.OperationalError(2014, "Commands out of sync")

    session: Any = InUse()
    assert Cleaning("dirty", True, Numbers()).needs_io(session)


# Where it is done, for what is called back.


class CalledBack:
    """A loan that goes back."""

    def __init__(self, needs_io: bool) -> None:
        self._needs_io = needs_io
        self.given_back_by: int | None = None

    def needs_io(self) -> bool:
        return self._needs_io

    def checkin(self) -> None:
        self.given_back_by = threading.get_ident()


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> ThreadPoolExecutor:
    monkeypatch.setattr("pooled_db.pool.on_call.Loan", CalledBack)
    executor = ThreadPoolExecutor(1)
    monkeypatch.setattr(cleaners, "_executor", executor)
    return executor


def given_back_here(loan: CalledBack, executor: ThreadPoolExecutor) -> bool:
    called: Any = [loan]
    OnCall().hand_in(called)
    executor.shutdown()
    assert loan.given_back_by is not None
    return loan.given_back_by == threading.get_ident()


@pytest.mark.parametrize("needs_io", [False, True])
def test_a_thread_hands_in_what_it_has_called_back(
    executor: ThreadPoolExecutor, needs_io: bool
) -> None:
    """It may wait for the server: the connection that it wants is the sooner there."""
    assert given_back_here(CalledBack(needs_io), executor)


@pytest.mark.parametrize("needs_io", [False, True])
def test_an_event_loop_waits_for_no_server(
    executor: ThreadPoolExecutor, needs_io: bool
) -> None:
    async def is_here() -> bool:
        return given_back_here(CalledBack(needs_io), executor)

    assert asyncio.run(is_here()) == (not needs_io)


def test_where_no_thread_begins_any_more_an_event_loop_gives_back_itself(
    executor: ThreadPoolExecutor,
) -> None:
    """A process that ends starts none, and its connections are to be given back."""
    executor.shutdown()

    async def is_here() -> bool:
        return given_back_here(CalledBack(True), executor)

    assert asyncio.run(is_here())


def test_32_sessions_are_made_as_new_at_once_each_in_a_thread_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleaners, "_executor", None)
    go, before = threading.Event(), set(threading.enumerate())
    try:
        for _ in range(40):
            cleaners.off_the_loop(go.wait)
        names = [one.name for one in threading.enumerate() if one not in before]
    finally:
        go.set()
        cleaners.cleaners().shutdown()
    assert sum(name.startswith("pooled_db-reset") for name in names) == 32


def test_the_threads_of_its_parent_are_none_of_a_forked_process(
    executor: ThreadPoolExecutor,
) -> None:
    assert cleaners.cleaners() is executor
    cleaners.after_fork()
    assert cleaners.cleaners() is not executor
