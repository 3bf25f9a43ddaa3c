"""What others may do while a wrapper connects, and what is left if it cannot."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import ProgrammingError, connections
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


@pytest.mark.parametrize("what", ["closed", "in doubt", "just gone"])
def test_one_that_is_lost_meanwhile_is_replaced_from_the_pool(
    wrapper: Any, what: str
) -> None:
    loan = wrapper.loan
    if what == "closed":
        loan.connection.close()
    elif what == "in doubt":
        loan.connection.is_doubtful = True
    else:
        loan.discard()
        loan.borrower = wrapper._me  # as it was seen, a moment before
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
    assert wrapper.loan.pins == set()


def test_one_whose_connection_has_been_lost_is_not_usable(wrapper: Any) -> None:
    assert wrapper.is_usable()
    wrapper.connection.close()
    assert not wrapper.is_usable()
