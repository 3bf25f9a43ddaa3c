"""What others may do while a wrapper connects, and what is left if it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, ProgrammingError, connections, transaction
from django.db.backends.signals import connection_created

from pooled_db import pools
from pooled_db.request.current import open_scope
from tests.site.views import ask

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wrapper() -> Any:
    """The default one, which has one connection, that is set up."""
    wrapper: Any = connections["default"]
    wrapper.close()
    pools.dispose("default")
    wrapper.connect()
    return wrapper


# What fails.


@pytest.mark.parametrize("error", [ProgrammingError("no"), KeyboardInterrupt()])
def test_an_error_leaves_no_half_made_session(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    wrapper.close()
    pools.dispose("default")

    def fail() -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(wrapper, "init_connection_state", fail)
        with pytest.raises(type(error)):
            ask("SELECT 1")
    assert pools.stats()["default"].in_use == 0
    assert wrapper.connection is None
    assert ask("SELECT 1") == 1


def test_an_error_takes_nothing_from_other_wrappers(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = wrapper.copy()

    def fail() -> None:
        raise ProgrammingError("no")

    monkeypatch.setattr(failing, "check_settings", fail)
    loan = wrapper.loan
    with pytest.raises(ProgrammingError):
        failing.connect()
    assert (failing.loan, wrapper.loan) == (None, loan)
    assert pools.stats()["default"].in_use == 1


# What it gets.


def test_only_what_may_have_to_wait_is_forbidden_on_an_event_loop(
    wrapper: Any,
) -> None:
    async def run(function: Callable[..., object], *args: object) -> None:
        function(*args)

    wrapper.close()
    with contextlib.closing(open_scope()) as scope:
        for function, args in (
            (wrapper.connect, ()),
            (wrapper.get_new_connection, ({},)),
        ):
            with pytest.raises(SynchronousOnlyOperation):
                asyncio.run(run(function, *args))
        assert scope.loans == []
        scope.check_out(wrapper.pool)
        asyncio.run(run(wrapper.connect))
        assert scope.loans == [wrapper.loan]
        wrapper.close()


def test_whoever_connects_again_in_its_request_has_the_same_connection(
    wrapper: Any,
) -> None:
    wrapper.close()
    scope = open_scope()
    ask("SET @mine = 7")
    wrapper.connect()
    assert ask("SELECT @mine") == 7
    assert pools.stats()["default"].in_use == 1
    scope.close()


def test_whoever_connects_as_its_request_ends_has_one_of_its_own(wrapper: Any) -> None:
    wrapper.close()
    scope = open_scope()
    wrapper.connect()
    another = wrapper.copy()
    scope.is_open = False  # with which the end begins, in another thread
    another.connect()
    assert another.loan is not wrapper.loan
    assert another.loan.requester is None
    another.close()
    scope.close()


@pytest.mark.parametrize("what", ["closed", "in doubt"])
def test_one_that_is_lost_meanwhile_is_replaced_from_the_pool(
    wrapper: Any, what: str
) -> None:
    loan = wrapper.loan
    if what == "closed":
        loan.connection.close()
    else:
        loan.connection.is_doubtful = True
    wrapper.connection = wrapper.get_new_connection(wrapper.get_connection_params())
    assert wrapper.loan not in (None, loan)
    assert wrapper.connection is wrapper.loan.connection
    assert pools.stats()["default"].opened == 2
    wrapper.close()


# Nobody else's turn.


@pytest.mark.parametrize("how", ["cold", "warm", "in another mode"])
def test_it_is_not_lent_to_others_before_its_wrapper_has_connected(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    wrapper.close()
    if how == "cold":
        pools.dispose("default")
    elif how == "in another mode":
        monkeypatch.setitem(wrapper.settings_dict, "AUTOCOMMIT", False)
    pinned: list[set[int]] = []

    def receive(connection: Any, **kwargs: Any) -> None:
        pinned.append({*connection.loan.pins})

    connection_created.connect(receive)
    try:
        wrapper.connect()
    finally:
        connection_created.disconnect(receive)
    assert pinned == [{threading.get_ident()}]
    assert wrapper.loan.pins == set()
    wrapper.close()


@pytest.mark.parametrize("method", ["create_cursor", "_set_autocommit"])
def test_one_that_another_thread_is_just_giving_back_is_replaced_before_its_use(
    wrapper: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    loan, connect = wrapper.loan, wrapper.connect

    def connect_after_that() -> None:
        loan.checkin()
        connect()

    monkeypatch.setattr(wrapper, "connect", connect_after_that)
    loan.over = True  # with which the other one begins
    getattr(wrapper, method)(*[True][: method == "_set_autocommit"])
    assert wrapper.loan not in (None, loan)
    assert (wrapper.loan.pins, loan.pins) == (set(), set())


def test_one_whose_connection_has_been_lost_is_not_usable(wrapper: Any) -> None:
    assert wrapper.is_usable()
    wrapper.connection.close()
    assert not wrapper.is_usable()


# What is lost with it.


@contextlib.contextmanager
def without_autocommit() -> Iterator[None]:
    connections["default"].set_autocommit(False)
    try:
        yield
    finally:
        connections["default"].close()


def lose_connection(wrapper: Any) -> None:
    """As the end of its request does, in another thread."""
    wrapper.loan.discard()


def lose_answer(wrapper: Any) -> None:
    """As an interrupt does between a statement and its answer."""
    wrapper.connection.query(b"SELECT 5")


@pytest.mark.parametrize(
    ("begin", "lose"),
    [
        (transaction.atomic, lose_connection),
        (transaction.atomic, lose_answer),
        (without_autocommit, lose_connection),
        (without_autocommit, lose_answer),
    ],
)
def test_in_a_transaction_a_loss_is_an_error_and_nothing_is_replaced(
    wrapper: Any,
    begin: Callable[[], AbstractContextManager[None]],
    lose: Callable[[Any], None],
) -> None:
    """Else the one half of it would be lost, and the other committed."""
    with pytest.raises(Error, match="The block is over"), begin():
        ask("SELECT 1")
        lose(wrapper)
        with pytest.raises(Error):
            ask("SELECT 7")
        assert pools.stats()["default"].opened == 1
        raise Error("The block is over.")
