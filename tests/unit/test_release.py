"""Connections given back before the request ends: release() and arelease()."""

from __future__ import annotations

from collections.abc import Iterator
from threading import get_ident

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.db.transaction import TransactionManagementError

import pooled_db
from pooled_db.pool.pool import Pool
from pooled_db.request import release as releasing
from pooled_db.request.current import open_scope
from pooled_db.request.scope import Scope


@pytest.fixture
def pool() -> Pool:
    return Pool("default", pytest.fail, pool_size=1)


@pytest.fixture
def scope(pool: Pool) -> Iterator[Scope]:
    """The request that this code runs in, with a connection that is not used yet."""
    scope = open_scope()
    scope.admit(pool)
    yield scope
    scope.close()


def test_what_the_request_has_goes_back(scope: Scope, pool: Pool) -> None:
    assert pool.gate.free == 0
    pooled_db.release()
    assert (pool.gate.free, scope.is_open) == (1, True)


def test_it_does_so_in_asynchronous_code(scope: Scope, pool: Pool) -> None:
    async_to_sync(pooled_db.arelease)()
    assert (pool.gate.free, scope.is_open) == (1, True)


def test_asynchronous_code_gives_back_what_its_thread_for_the_database_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(releasing, "release", lambda: threads.append(get_ident()))

    async def main() -> int:
        await pooled_db.arelease()
        return await sync_to_async(get_ident, thread_sensitive=True)()

    of_database = async_to_sync(main)()
    assert threads == [of_database]


def test_on_an_event_loop_it_says_what_to_call(scope: Scope, pool: Pool) -> None:
    async def main() -> None:
        pooled_db.release()

    with pytest.raises(SynchronousOnlyOperation) as raised:
        async_to_sync(main)()
    assert str(raised.value) == (
        "Use 'await pooled_db.arelease()' in asynchronous code."
    )
    assert pool.gate.free == 0


def test_it_is_an_error_in_a_transaction_of_another_thread_of_the_request(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scope, "in_atomic_block", True)
    with pytest.raises(TransactionManagementError) as raised:
        pooled_db.release()
    assert str(raised.value) == (
        "pooled_db.release() cannot be used in a transaction, which would be lost."
    )
    assert pool.gate.free == 0


def test_nobody_asks_for_a_driver_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(connections.settings, "old", {"ENGINE": "nowhere.backend"})
    pooled_db.release()
