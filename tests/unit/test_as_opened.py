"""What users change of the driver's object, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pooled_db.driver.as_opened import TABLES, AsOpened
from pooled_db.driver.connection import Connection
from pooled_db.driver.use import NO_THREAD, OwnUse


class FakeConnection:
    """A connection as far as users set its attributes."""

    cursorclass = object
    converts_otherwise = False
    destination: object = None

    def __init__(self) -> None:
        for name in TABLES:
            setattr(self, name, {int: "as opened", str: "as opened"})
        self.tunnel = "open"


@pytest.fixture
def connection() -> Any:
    return FakeConnection()


@pytest.fixture
def as_opened(connection: Any) -> AsOpened:
    as_opened = AsOpened()
    as_opened.note(connection)
    return as_opened


CHANGES: list[Callable[[Any], object]] = [
    lambda table: table.__setitem__(int, "changed"),
    lambda table: table.__delitem__(int),
    lambda table: table.__ior__({int: "changed"}),
    lambda table: table.clear(),
    lambda table: table.pop(int),
    lambda table: table.popitem(),
    lambda table: table.setdefault(float, "changed"),
    lambda table: table.update({int: "changed"}),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_was_changed_is_told_and_put_back(
    connection: Any,
    as_opened: AsOpened,
    name: str,
    change: Callable[[Any], object],
) -> None:
    before = dict(getattr(connection, name))
    assert not connection.converts_otherwise
    expected = change(dict(before))
    given = change(getattr(connection, name))
    assert given == expected
    assert connection.converts_otherwise
    assert getattr(connection, name) != before

    as_opened.put_tables_back(connection)
    assert getattr(connection, name) == before
    assert not connection.converts_otherwise
    assert connection.encoders is as_opened.encoders
    # Whoever has kept the table of before changes nobody's any more.
    change(getattr(connection, name))
    as_opened.put_tables_back(connection)
    assert getattr(connection, name) == before


def test_a_table_can_be_changed_that_has_outlived_its_connection() -> None:
    connection: Any = FakeConnection()
    AsOpened().note(connection)
    table = connection.encoders
    del connection
    table[int] = "changed"
    assert table[int] == "changed"


def test_marks_of_users_go_and_what_the_pool_notes_stays(
    connection: Any, as_opened: AsOpened
) -> None:
    connection.has_time_zone = True
    connection.destination = "there"
    as_opened.remove_marks(connection)
    assert not hasattr(connection, "has_time_zone")
    assert (connection.tunnel, connection.destination) == ("open", "there")


def test_whoever_has_it_next_gets_nothing_of_its_last_user(
    connection: Any, as_opened: AsOpened
) -> None:
    loan = OwnUse(NO_THREAD)
    connection._as_opened, connection.cursorclass = as_opened, dict
    connection._cursors, connection._last = ["open"], "its last statement"
    connection.after_rest = pytest.fail
    Connection.lent_for(connection, loan)
    assert connection.loan is loan
    assert (connection._cursors, connection._last) == ([], None)
    assert (connection.after_rest, connection.cursorclass) == (None, object)
