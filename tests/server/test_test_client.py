"""Requests of Django's test client use the connection of their test, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections
from django.test import AsyncClient, Client, SimpleTestCase

import pooled_db
from pooled_db import pools
from tests.site.models import Item


def get(kind: str, path: str) -> Any:
    if kind == "sync":
        return Client().get(path)

    async def get_async() -> Any:
        return await AsyncClient().get(path)

    return async_to_sync(get_async)()


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_a_page_that_asks_nothing_connects_to_nothing(kind: str) -> None:
    """Without the mark pytest-django forbids the database, as SimpleTestCase does."""
    pools.dispose("default")
    assert get(kind, "/nothing").status_code == 200
    assert "default" not in pooled_db.stats()


class TestGuards(SimpleTestCase):
    def test_a_page_that_asks_is_stopped_by_djangos_guard(self) -> None:
        with pytest.raises(Exception, match="not allowed"):
            self.client.get("/queries")


@both
@pytest.mark.django_db
def test_a_page_sees_what_its_test_has_not_committed(kind: str) -> None:
    Item.objects.create(name="of this test")
    assert get(kind, "/count?name=of+this+test").content == b"1"
    assert connection.in_atomic_block


@both
@pytest.mark.django_db(transaction=True)
def test_a_request_takes_no_connection_besides_its_tests_and_leaves_that(
    kind: str,
) -> None:
    connections.close_all()
    pool = pools.for_alias("default")
    before = pool.stats().checkouts
    mine = connection.cursor().connection.thread_id()
    assert get(kind, "/queries").content.decode() == str(mine)
    assert connection.cursor().connection.thread_id() == mine
    assert pool.stats().checkouts == before + 1
