"""What ends without giving its connection back: threads, wrappers, loans."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections

import pooled_db
from pooled_db import pools
from pooled_db.pool.loan import Loan
from pooled_db.request.current import open_scope
from tests.harness.processes import poll
from tests.site.models import Item
from tests.site.views import ask

pytestmark = pytest.mark.django_db(transaction=True)

#: What no thread and no process has for its number.
NOT_THIS_THREAD = NOBODY = -1


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    connections.close_all()
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def run_in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function, name="nightly")
    thread.start()
    thread.join()


def all_permits_are_free() -> bool:
    gate = pools.for_alias("default").gate
    return gate.free == gate.capacity


def test_a_thread_that_ends_gives_its_connection_back_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pooled_db")
    run_in_thread(lambda: ask("SELECT 1"))

    assert poll(all_permits_are_free)
    assert pooled_db.stats()["default"].idle >= 1  # it was kept, not closed
    assert "A thread ended with a connection to 'default'" in caplog.text
    assert "site/views.py" in caplog.text
    assert "by thread 'nightly'" in caplog.text


def test_what_a_thread_that_ends_left_open_is_rolled_back() -> None:
    def leave_open() -> None:
        from django.db import transaction

        transaction.atomic().__enter__()
        Item.objects.create(name="left open")

    run_in_thread(leave_open)

    assert poll(all_permits_are_free)
    assert not Item.objects.exists()


def test_a_connection_that_is_shared_outlives_the_thread_that_opened_it() -> None:
    kept = []

    def share() -> None:
        ask("SELECT 1")
        wrapper = connections["default"]
        wrapper.inc_thread_sharing()
        kept.append(wrapper)

    run_in_thread(share)

    (wrapper,) = kept
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 5")
        assert cursor.fetchone() == (5,)
    wrapper.close()
    wrapper.dec_thread_sharing()


def test_a_wrapper_that_is_dropped_is_reported_with_where_it_connected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leak() -> None:
        connection.copy().ensure_connection()

    leak()
    assert not all_permits_are_free()
    gc.collect()

    assert all_permits_are_free()
    assert pooled_db.stats()["default"].idle == 0  # nobody knows its session
    assert "never given back; it is closed now" in caplog.text
    assert f"{__file__}:{leak.__code__.co_firstlineno + 1} in leak" in caplog.text
    assert "by thread 'MainThread'" in caplog.text


@pytest.mark.parametrize(
    "is_of", ["another thread", "a request", "a process that ends", "a parent"]
)
def test_what_is_not_its_own_is_not_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, is_of: str
) -> None:
    scope = open_scope() if is_of == "a request" else None
    wrapper: Any = connection.copy()
    wrapper.ensure_connection()
    loan: Loan = wrapper.loan
    if is_of == "another thread":
        loan.pins.clear()
        assert loan.lend(lambda: None, NOT_THIS_THREAD)
    elif is_of == "a process that ends":
        monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    elif is_of == "a parent":
        monkeypatch.setattr("pooled_db.fork.process", NOBODY)
    del wrapper
    gc.collect()
    monkeypatch.undo()
    assert not loan.over
    assert "never given back" not in caplog.text
    loan.checkin()
    if scope is not None:
        scope.close()
