"""The driver's connection, as sites use it by ``connection.connection``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import MySQLdb
import MySQLdb.cursors
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from MySQLdb.constants import FIELD_TYPE

from pooled_db.driver.connection import Connection
from pooled_db.pool.pool import Pool
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import lend
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


def test_a_cursor_that_is_closed_says_so_as_the_drivers_own() -> None:
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.close()
    with pytest.raises(MySQLdb.ProgrammingError, match=r"(?i)cursor closed"):
        cursor.execute("SELECT 1")


def test_what_has_no_rows_needs_no_reading() -> None:
    connection.ensure_connection()
    raw = connection.connection
    raw.query("SET @a = 5")
    assert ask("SELECT @a") == 5
    raw.query("SET @a = 6; SET @b = 7")
    assert [raw.next_result(), raw.next_result()] == [0, -1]
    assert ask("SELECT @a + @b") == 13
    assert connection.connection is raw


def test_what_has_changed_the_session_first_is_told() -> None:
    ask("SET @a = 5")
    raw = connection.connection
    raw.set_character_set("latin1")
    assert raw.dirtied_by == "SET @a = 5"


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


def connect() -> None:
    connection.connect()


@pytest.mark.parametrize("again", [forget, connect])
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


def test_what_was_opened_without_a_mode_rests_in_djangos(
    make_pool: Callable[..., Pool], server: Server
) -> None:
    """As a backend opens it that has options of its own."""
    options = server.client_options
    account = {"user": server.user, "password": server.password}

    def connect() -> Connection:
        opened = Connection(host=server.host, port=server.port, **account, **options)
        opened.destination = None
        return opened

    pool = make_pool(connect, pool_size=1)
    loan, raw = lend(pool)
    raw.autocommit(True)
    assert raw.is_at_rest
    loan.checkin()


# What users change of the driver's object is gone with them.


def use_dicts(raw: Connection) -> None:
    raw.cursorclass = MySQLdb.cursors.DictCursor


def use_server_side_cursors(raw: Connection) -> None:
    raw.cursorclass = MySQLdb.cursors.SSCursor


def read_otherwise(raw: Connection) -> None:
    raw.converter[FIELD_TYPE.NEWDECIMAL] = float


def write_otherwise(raw: Connection) -> None:
    raw.encoders.update({bool: lambda value, mapping: b"'yes'"})


def write_by_another_table(raw: Connection) -> None:
    raw.encoders = {**raw.encoders, bool: lambda value, mapping: b"'yes'"}


def write_nothing(raw: Connection) -> None:
    del raw.encoders[bool]


def answers() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CAST(1.5 AS DECIMAL(4,2)), %s UNION SELECT 2, 3", [True])
        return repr((cursor.rowcount, cursor.fetchall()))


@pytest.mark.parametrize(
    "change",
    [
        use_dicts,
        use_server_side_cursors,
        read_otherwise,
        write_otherwise,
        write_by_another_table,
        write_nothing,
    ],
)
def test_rows_and_values_are_for_the_next_user_as_at_first(
    change: Callable[[Connection], None],
) -> None:
    expected = answers()
    raw = connection.connection
    change(raw)
    with contextlib.suppress(MySQLdb.Error, TypeError):
        assert answers() != expected
    connection.close()

    assert answers() == expected
    assert connection.connection is raw


def test_what_was_set_when_it_was_opened_stays(make_pool: Callable[..., Pool]) -> None:
    def connect() -> Connection:
        raw = opened()
        raw.tunnel = "open"
        raw.cursorclass = MySQLdb.cursors.DictCursor
        return raw

    opened = make_pool().connect
    pool = make_pool(connect, pool_size=1)
    for _ in range(2):
        loan, raw = lend(pool)
        assert raw.tunnel == "open"  # type: ignore[attr-defined]
        with raw.cursor() as cursor:
            cursor.execute("SELECT @a := 1 AS a")
            assert cursor.fetchall() == ({"a": 1},)
        loan.checkin()
    assert pool.stats().opened == 1


def set_up_once() -> str:
    """Set up a session that is new, as far as its driver's connection tells."""
    connection.ensure_connection()
    if not getattr(connection.connection, "has_time_zone", False):
        ask("SET time_zone = '+05:00'")
        connection.connection.has_time_zone = True
    return str(ask("SELECT @@time_zone"))


def test_a_mark_that_says_that_a_session_is_set_up_goes_with_it() -> None:
    assert set_up_once() == "+05:00"
    connection.close()
    assert set_up_once() == "+05:00"
