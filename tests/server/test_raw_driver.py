"""The driver's connection, as sites use it by ``connection.connection``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction

from tests.site.models import Item
from tests.site.views import ask

pytestmark = pytest.mark.django_db(transaction=True)


def begin() -> None:
    connection.connection.begin()


def begin_by_query() -> None:
    connection.connection.query("BEGIN")


def begin_in_two_halves() -> None:
    connection.connection.send_query(b"BEGIN")
    connection.connection.read_query_result()


@pytest.mark.parametrize("start", [begin, begin_by_query, begin_in_two_halves])
def test_a_transaction_that_the_driver_has_begun_is_the_orms(
    start: Callable[[], None],
) -> None:
    connection.ensure_connection()
    start()
    Item.objects.create(name="never committed")
    connection.connection.rollback()
    assert not Item.objects.exists()
    start()
    Item.objects.create(name="committed")
    connection.connection.commit()
    connection.close()
    assert Item.objects.get().name == "committed"


def test_what_has_no_rows_needs_no_reading() -> None:
    connection.ensure_connection()
    raw = connection.connection
    raw.query("SET @a = 5")
    assert ask("SELECT @a") == 5
    raw.query("SET @a = 6; SET @b = 7")
    assert [raw.next_result(), raw.next_result()] == [0, -1]
    assert ask("SELECT @a + @b") == 13
    assert connection.connection is raw


def test_a_transaction_is_not_lost_unseen_for_an_answer_that_is_left() -> None:
    transaction.set_autocommit(False)
    Item.objects.create(name="lost")
    connection.connection.query("SELECT 1")
    with pytest.raises(DatabaseError, match="2014"):
        Item.objects.create(name="stored alone")
    connection.close()
    assert not Item.objects.exists()
