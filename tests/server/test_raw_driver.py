"""The driver's connection, as sites use it by ``connection.connection``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from tests.harness.processes import poll
from tests.harness.server import Server
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


def lose(server: Server) -> None:
    ask("SELECT 1")
    server.ask(f"KILL {connection.connection.thread_id()}")
    assert poll(lambda: not connection.connection.is_alive())


def fail(server: Server) -> None:
    lose(server)
    with pytest.raises(OperationalError):
        ask("SELECT 1")


def close(server: Server) -> None:
    connection.ensure_connection()
    connection.connection.close()


def forget() -> None:
    connection.connection = None


@pytest.mark.parametrize("again", [forget, connection.connect])
@pytest.mark.parametrize("gone", [lose, fail, close])
def test_recipes_against_a_server_that_has_gone_away_get_another_connection(
    server: Server, gone: Callable[[Server], None], again: Callable[[], None]
) -> None:
    gone(server)
    again()
    assert ask("SELECT 2") == 2
    with transaction.atomic():
        Item.objects.create(name="stored")
    connection.close()
    assert Item.objects.count() == 1


def test_who_connects_again_keeps_a_connection_that_works() -> None:
    before = ask("SELECT CONNECTION_ID()")
    connection.connect()
    assert ask("SELECT CONNECTION_ID()") == before


def test_a_lost_connection_is_an_error_where_nobody_connects_again(
    server: Server,
) -> None:
    close(server)
    with pytest.raises(OperationalError, match="2006"):
        ask("SELECT 1")
