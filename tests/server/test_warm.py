"""A wrapper that finds its session set up is as Django would have made it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import MySQLdb
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import ProgrammingError, connections, transaction
from django.db.backends.mysql import base as mysql
from django.db.backends.signals import connection_created

from pooled_db import pools
from pooled_db.backends.mysql.usability import JudgedMixin
from pooled_db.pool.loan import Loan
from pooled_db.pool.turn import Turn
from pooled_db.request.current import open_scope
from tests.database_server import SERVER
from tests.site.views import ask
from tests.turns import queue_up

pytestmark = pytest.mark.django_db(transaction=True)

ISOLATION = "@@tx_isolation" if SERVER.is_mariadb else "@@transaction_isolation"
#: As the pool knows threads, by their numbers.
NOT_THIS_THREAD = -1
#: What is another with each connect, and what says nothing of it.
OF_ONE_CONNECT = {"_announced", "_connection", "_loan", "close_at", "queries_log"}


@pytest.fixture
def wrapper() -> Any:
    """The default one, whose pool has one connection, idle and set up."""
    pools.dispose("default")
    wrapper: Any = connections["default"]
    wrapper.close()
    wrapper.connect()
    return wrapper


def state(wrapper: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(wrapper).items()
        if name not in OF_ONE_CONNECT
    }


@pytest.mark.parametrize(
    "options", [{}, {"isolation_level": None}, {"isolation_level": "Repeatable Read"}]
)
def test_nothing_is_left_of_what_was_before(
    wrapper: Any, options: dict[str, Any]
) -> None:
    wrapper = wrapper.copy()
    wrapper.settings_dict["OPTIONS"].update(options)
    wrapper.connect()
    cold = state(wrapper)
    opened = pools.stats()["default"].opened
    wrapper.close()
    wrapper.errors_occurred = True
    wrapper.isolation_level = "serializable"
    wrapper.health_check_done = False
    wrapper.needs_rollback = True
    wrapper.run_commit_hooks_on_set_autocommit_on = True
    wrapper.connect()
    assert pools.stats()["default"].opened == opened
    assert state(wrapper) == cold
    wrapper.close()


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("run_on_commit", [(set(), print, False)]),
        ("needs_rollback", True),
        ("in_atomic_block", True),
        ("closed_in_transaction", True),
    ],
)
def test_whatever_a_block_has_left_is_forgotten(
    wrapper: Any, name: str, left: Any
) -> None:
    cold = state(wrapper)
    wrapper.close()
    setattr(wrapper, name, left)
    wrapper.connect()
    assert state(wrapper) == cold


def test_what_is_set_up_anew_is_still_to_be_cleaned(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wrapper.cursor() as cursor:
        cursor.execute("SET @mine = 'mine'")
    level = "serializable"
    monkeypatch.setitem(wrapper.settings_dict["OPTIONS"], "isolation_level", level)
    wrapper.connect()
    wrapper.close()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT @mine")
        assert cursor.fetchone() == (None,)


def test_settings_that_django_refuses_are_refused(
    wrapper: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper.close()
    monkeypatch.setitem(wrapper.settings_dict, "TIME_ZONE", "Europe/Berlin")
    settings.USE_TZ = False
    with pytest.raises(ImproperlyConfigured, match="cannot set TIME_ZONE"):
        wrapper.connect()
    assert wrapper.loan is None


class Watching:
    """What some tool has put around the driver's connection."""

    def __init__(self, watched: Any) -> None:
        self.watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self.watched, name)


@pytest.mark.parametrize("is_set_up", [True, False])
def test_what_watches_the_driver_is_what_its_users_get(
    wrapper: Any, is_set_up: bool
) -> None:
    raw = wrapper.connection
    wrapper.close()
    raw.proxy = watching = Watching(raw)
    if not is_set_up:
        raw.isolation_level = "of nobody"
    wrapper.connect()
    assert wrapper.connection is watching
    wrapper.close()
    raw.proxy = None


def test_a_session_that_was_made_as_new_is_set_up_again(wrapper: Any) -> None:
    ask("SELECT @a := 1")
    wrapper.close()
    assert pools.stats()["default"].resets == 1
    assert ask(f"SELECT {ISOLATION}") == "READ-COMMITTED"
    assert pools.stats()["default"].opened == 1


def call_back(loan: Loan) -> None:
    with loan.pool.gate.lock:
        assert loan.call_back()
    loan.checkin()


def test_a_connection_that_was_called_back_is_this_wrappers_no_more(
    wrapper: Any,
) -> None:
    call_back(wrapper.loan)
    assert wrapper.connection is None
    assert ask("SELECT 1") == 1


def test_what_the_last_statement_left_is_an_error_after_a_call_back_only(
    wrapper: Any,
) -> None:
    call_back(wrapper.loan)
    with pytest.raises(ProgrammingError, match="others have used since"):
        ask("SELECT ROW_COUNT()")
    wrapper.close()
    assert isinstance(ask("SELECT ROW_COUNT()"), int)


def test_a_wrapper_that_is_new_has_lost_nothing(wrapper: Any) -> None:
    wrapper.close()
    with contextlib.closing(wrapper.copy()) as new, new.cursor() as cursor:
        cursor.execute("SELECT ROW_COUNT()")


class OtherThreads:
    """The wrapper of a thread that works in a transaction."""

    has_atomic_block = True

    def detach(self) -> None: ...


@pytest.fixture
def others_loan(wrapper: Any) -> Iterator[Loan]:
    """What the wrapper had in its request, and another thread of that has taken."""
    others = OtherThreads()
    wrapper.close()
    scope = open_scope()
    wrapper.connect()
    loan: Loan = wrapper.loan
    assert loan.lend(lambda: others, NOT_THIS_THREAD)
    loan.pins.clear()
    yield loan
    assert (loan.user, loan.pins) == (NOT_THIS_THREAD, set())
    scope.close()


def test_what_another_thread_has_taken_at_the_last_moment_is_its_own(
    wrapper: Any, others_loan: Loan
) -> None:
    wrapper.create_cursor().close()
    assert wrapper.loan not in (None, others_loan)


def test_what_another_thread_has_taken_is_not_shared_with_all(
    wrapper: Any, others_loan: Loan
) -> None:
    wrapper.inc_thread_sharing()
    wrapper.dec_thread_sharing()
    assert wrapper.loan is None


def test_one_that_cannot_be_replaced_is_an_error_of_its_own(
    wrapper: Any, attempts: list[str]
) -> None:
    call_back(wrapper.loan)
    pools.dispose("default")
    with pytest.raises(MySQLdb.OperationalError, match="Can't connect"):
        wrapper.create_cursor()
    assert attempts == ["default"]


@pytest.mark.parametrize("method", ["create_cursor", "_set_autocommit"])
def test_what_is_just_being_used_is_lent_to_nobody_else(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    loan = wrapper.loan
    lent: list[bool] = []
    original = getattr(mysql.DatabaseWrapper, method)

    def use(one: Any, *args: Any) -> Any:
        with loan.pool.gate.lock:
            lent.append(loan.call_back())
        lent.append(loan.lend(lambda: None, NOT_THIS_THREAD))
        return original(one, *args)

    monkeypatch.setattr(mysql.DatabaseWrapper, method, use)
    wrapper.set_autocommit(False)
    wrapper.set_autocommit(True)
    wrapper.create_cursor().close()
    assert lent
    assert not any(lent)
    assert (wrapper.loan, loan.pins) == (loan, set())


def test_whoever_stands_in_line_has_its_turn_when_the_mode_has_changed(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loan = wrapper.loan
    wrapper.set_autocommit(False)
    original: Any = vars(mysql.DatabaseWrapper)["_set_autocommit"]
    others = OtherThreads()
    turns: list[Turn] = []

    def queue_up_meanwhile(one: Any, *args: Any) -> None:
        original(one, *args)
        turns.append(queue_up(loan, NOT_THIS_THREAD, borrower=lambda: others))
        assert not turns[0].granted

    monkeypatch.setattr(mysql.DatabaseWrapper, "_set_autocommit", queue_up_meanwhile)
    wrapper.set_autocommit(True)
    assert turns[0].granted
    loan.checkin()


@pytest.mark.parametrize(
    "close", ["close", "close_if_health_check_failed", "close_if_unusable_or_obsolete"]
)
def test_what_another_thread_takes_while_it_is_closed_stays_open(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch, close: str
) -> None:
    wrapper.close()
    scope = open_scope()
    wrapper.connect()
    loan = wrapper.loan

    judge: Any = vars(JudgedMixin)["closes_unusable"]

    def take(one: JudgedMixin) -> Any:
        """Do so at the last moment."""
        assert loan.lend(lambda: None, NOT_THIS_THREAD)
        return judge.fget(one)

    monkeypatch.setattr(JudgedMixin, "closes_unusable", property(take))
    monkeypatch.setattr(connections["default"], "is_usable", lambda: False)
    wrapper.health_check_enabled = True
    wrapper.health_check_done = False
    wrapper.errors_occurred = True
    getattr(wrapper, close)()
    assert (loan.over, loan.user) == (False, NOT_THIS_THREAD)
    scope.close()


@pytest.fixture
def in_transactions(wrapper: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The wrapper where each statement is in a transaction, and none is open."""
    wrapper.close()
    monkeypatch.setitem(wrapper.settings_dict, "AUTOCOMMIT", False)
    pools.dispose("default")
    wrapper.connect()
    wrapper.commit()
    yield wrapper
    wrapper.close()
    pools.dispose("default")


def test_a_block_in_which_nothing_has_been_done_yet_is_work_all_the_same(
    in_transactions: Any,
) -> None:
    """The mode does not tell."""
    loan = in_transactions.loan
    assert loan.resting_since() is not None
    with transaction.atomic(savepoint=False):
        assert loan.resting_since() is None
    assert loan.resting_since() is not None


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_statement_is_work_until_its_transaction_has_ended(
    in_transactions: Any, end: str
) -> None:
    loan = in_transactions.loan
    ask("SELECT 1")
    assert loan.resting_since() is None
    getattr(in_transactions, end)()
    assert loan.resting_since() is not None


@pytest.mark.parametrize("make", ["query", "send_query"])
def test_an_answer_that_nobody_has_read_is_nobodys(wrapper: Any, make: str) -> None:
    """An interrupt has struck between the statement and its answer."""
    before = wrapper.connection.thread_id()
    getattr(wrapper.connection, make)(b"SELECT 5")
    assert ask("SELECT 7") == 7
    assert wrapper.connection.thread_id() != before
    assert threading.get_ident() == wrapper.loan.user


def test_it_is_told_once_that_it_has_a_connection(wrapper: Any) -> None:
    told: list[Any] = []

    def receive(sender: object, connection: Any, **kwargs: Any) -> None:
        told.append((sender, connection.connection))

    wrapper.close()
    connection_created.connect(receive)
    try:
        wrapper.connect()
        wrapper.connect()
    finally:
        connection_created.disconnect(receive)
    assert told == [(type(connections["default"]), wrapper.connection)]


@pytest.mark.parametrize("looks", [False, True])
def test_who_connects_in_another_request_has_that_ones_connection(
    wrapper: Any, looks: bool
) -> None:
    def connect_anew() -> Any:
        with contextlib.closing(open_scope()):
            if looks:
                assert wrapper.connection is None
            wrapper.connect()
            return wrapper.connection

    wrapper.close()
    with contextlib.closing(open_scope()):
        ask("SELECT 1")
        mine = wrapper.connection
        assert copy_context().run(connect_anew) not in (None, mine)
        assert ask("SELECT 1") == 1
        assert wrapper.connection is mine
