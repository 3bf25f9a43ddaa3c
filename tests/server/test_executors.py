"""Threads that know nothing of a request, and are given its context or its wrapper."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import InterfaceError, connections, transaction
from django.db.models.expressions import RawSQL

import pooled_db
from pooled_db import pools
from pooled_db.driver import DriverConnection
from pooled_db.request.current import current_scope, open_scope
from tests.harness.processes import PATIENCE, poll
from tests.harness.server import Server
from tests.site.models import Item
from tests.site.views import ask

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NUMBER = "SELECT CONNECTION_ID()"
#: Runs a function in the context of a request.
Run = Callable[..., Any]


@pytest.fixture
def in_request() -> Iterator[Run]:
    """A request in this thread, whose context others can be given."""
    connections.close_all()
    context = contextvars.copy_context()
    scope = context.run(open_scope)
    yield lambda function, *args: context.copy().run(function, *args)
    scope.close()
    stats = pooled_db.stats()["default"]
    connections.close_all()
    assert (stats.in_use - stats.on_call, stats.waiting) == (0, 0)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """One thread, which has a connection of its own, at rest."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(ask, NUMBER).result()
        yield threads


def test_its_own_connection_gives_way_to_that_of_the_request(
    executor: ThreadPoolExecutor, in_request: Run
) -> None:
    number = in_request(ask, NUMBER)
    assert executor.submit(in_request, ask, NUMBER).result() == number
    assert pooled_db.stats()["default"].in_use == 1


@pytest.mark.parametrize("asks_first", [True, False])
def test_what_it_leaves_in_its_session_ends_with_the_request(
    executor: ThreadPoolExecutor, in_request: Run, asks_first: bool
) -> None:
    if asks_first:
        in_request(ask, NUMBER)
    executor.submit(in_request, ask, "SET @mine = 'mine'").result()
    # The fixture sees that nobody is at work after the request.


def test_a_transaction_that_it_has_begun_before_stays_its_own(
    executor: ThreadPoolExecutor, in_request: Run
) -> None:
    in_request(ask, NUMBER)
    atomic = transaction.atomic()
    executor.submit(atomic.__enter__).result()
    executor.submit(Item.objects.create, name="its own").result()
    found = Item.objects.filter(name="its own").exists
    assert executor.submit(in_request, found).result()
    assert not in_request(found)
    executor.submit(transaction.set_rollback, True).result()
    executor.submit(atomic.__exit__, None, None, None).result()


def test_while_it_serves_another_request_it_has_the_connection_of_that_one(
    executor: ThreadPoolExecutor, in_request: Run
) -> None:
    number = executor.submit(in_request, ask, NUMBER).result()
    context = contextvars.copy_context()
    scope = context.run(open_scope)
    assert executor.submit(context.run, ask, NUMBER).result() != number
    assert executor.submit(in_request, ask, NUMBER).result() == number
    scope.close()


@pytest.mark.parametrize("shared_first", [True, False])
def test_a_connection_that_a_request_shares_is_good_in_every_thread(
    in_request: Run, shared_first: bool
) -> None:
    wrapper = connections["default"]
    if not shared_first:
        in_request(ask, NUMBER)
    wrapper.inc_thread_sharing()
    seen: list[object] = []

    def work() -> None:
        connections["default"] = wrapper
        seen.append(Item.objects.filter(name="shared").exists())

    def share() -> None:
        with transaction.atomic():
            Item.objects.create(name="shared")
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            seen.append(Item.objects.filter(name="shared").exists())
            transaction.set_rollback(True)

    try:
        in_request(share)
    finally:
        wrapper.dec_thread_sharing()
    assert seen == [True, True]
    assert not in_request(Item.objects.filter(name="shared").exists)


def test_a_thread_that_closes_leaves_the_cursors_of_the_others(
    executor: ThreadPoolExecutor, in_request: Run
) -> None:
    def begin() -> Any:
        cursor = connections["default"].cursor()
        cursor.execute(NUMBER)
        return cursor

    def close() -> Any:
        number = ask(NUMBER)
        connections["default"].close()
        return number

    theirs = executor.submit(in_request, begin).result()
    assert in_request(close) == executor.submit(theirs.fetchone).result()[0]
    executor.submit(theirs.execute, "SELECT 5").result()
    assert executor.submit(theirs.fetchone).result() == (5,)
    executor.submit(theirs.close).result()


def test_a_statement_that_outlasts_its_request_says_so(server: Server) -> None:
    connections.close_all()
    context = contextvars.copy_context()
    scope = context.run(open_scope)
    Item.objects.create(name="a row")
    context.run(ask, NUMBER)
    holder = server.admin()
    try:
        holder.query("DO GET_LOCK('late', 0)")
        with ThreadPoolExecutor(1) as threads:
            # Django closes the cursor after an error, which must not hide it.
            wait = RawSQL("GET_LOCK('late', %s)", [PATIENCE])
            run: Run = context.copy().run
            late = threads.submit(run, Item.objects.annotate(got=wait).get)
            assert poll(
                lambda: "User lock" in {p["state"] for p in server.process_list()}
            )
            scope.close()
            holder.query("DO RELEASE_LOCK('late')")
            with pytest.raises(InterfaceError, match="given back to its pool"):
                late.result()
            assert threads.submit(context.copy().run, ask, "SELECT 1").result() == 1
    finally:
        holder.close()
    connections.close_all()
    assert pooled_db.stats()["default"].in_use == 0


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize(
    "go_on",
    [
        lambda: Item.objects.create(name="the second half"),
        transaction.commit,
        lambda: transaction.set_autocommit(True),  # which commits as well
    ],
    ids=["statement", "commit", "mode"],
)
def test_a_transaction_that_outlasts_its_request_goes_on_nowhere_else(
    go_on: Callable[[], object], autocommit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the one half of it would be lost without a word, and the other kept."""
    connections.close_all()
    pools.dispose("default")
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", autocommit)
    context = contextvars.copy_context()
    scope = context.run(open_scope)

    def begin() -> None:
        transaction.set_autocommit(False)
        Item.objects.create(name="the first half")

    def go_on_and_end() -> None:
        with pytest.raises(InterfaceError, match="given back to its pool"):
            go_on()
        connections["default"].close()
        assert transaction.get_autocommit() is autocommit
        assert not Item.objects.exists()
        connections["default"].close()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(context.run, begin).result()
        scope.close()
        threads.submit(context.run, go_on_and_end).result()
    assert pooled_db.stats()["default"].in_use == 0


def test_so_does_one_with_which_django_sets_up_a_new_connection(
    in_request: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    close: list[Callable[[], None]] = []
    original = DriverConnection.query

    def query(self: DriverConnection, query: bytes) -> None:
        original(self, query)
        if b"@@sql_auto_is_null" in query:
            with ThreadPoolExecutor(1) as loop:
                loop.submit(close.pop()).result()

    monkeypatch.setattr(DriverConnection, "query", query)
    pools.dispose("default")

    def work() -> None:
        scope = current_scope()
        assert scope is not None
        close.append(scope.close)
        with pytest.raises(InterfaceError, match="given back to its pool"):
            ask(NUMBER)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(in_request, work).result()
    assert not close
