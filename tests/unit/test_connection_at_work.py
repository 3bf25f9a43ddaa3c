"""What others see of a connection, of whoever works with it and what he leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pooled_db.driver.connection import Connection
from pooled_db.driver.slot import AT_WORK, SIZE, Slot
from tests.harness.fake_server import FakeServer


@pytest.fixture
def connect() -> Iterator[Callable[..., Connection]]:
    """Connect, with a place where others may see it."""
    opened: list[Connection] = []
    with FakeServer() as server:
        server.answers("SELECT", [["1"]])

        def connect() -> Connection:
            address = {"host": server.host, "port": server.port}
            made = Connection(user="any", password="", autocommit=True, **address)
            made.slot = Slot(memoryview(bytearray(8 * SIZE)))
            made.is_dirty = False
            opened.append(made)
            return made

        yield connect
        for connection in opened:
            connection.close()


def words(connection: Connection) -> tuple[bool, bool]:
    assert connection.slot is not None
    return bool(connection.slot.words[AT_WORK]), connection.is_at_rest


WORKS, RESTS = (True, False), (False, True)


def test_it_is_at_work_until_its_answer_is_read(
    connect: Callable[..., Connection],
) -> None:
    connection = connect()
    assert words(connection) == RESTS
    connection.send_query(b"SELECT 1")
    assert words(connection) == WORKS
    connection.read_query_result()
    connection.store_result()
    assert words(connection) == RESTS


def test_it_is_at_work_while_rows_are_on_the_way(
    connect: Callable[..., Connection],
) -> None:
    connection = connect()
    connection.query(b"SELECT 1")
    rows = connection.use_result()
    assert words(connection) == WORKS
    del rows


def test_it_is_at_work_with_a_session_that_was_changed(
    connect: Callable[..., Connection],
) -> None:
    connection = connect()
    assert connection.dirtied_by is None
    connection.query(b"SET @a = 1")
    connection.store_result()
    assert words(connection) == WORKS
    assert connection.dirtied_by == "SET @a = 1"


@pytest.mark.filterwarnings("ignore:The reconnect parameter:DeprecationWarning")
@pytest.mark.parametrize(
    ("reconnect", "is_doubtful"), [((), False), ((False,), False), ((True,), True)]
)
def test_a_driver_that_would_connect_again_in_secret_is_not_trusted(
    connect: Callable[..., Connection], reconnect: tuple[bool, ...], is_doubtful: bool
) -> None:
    connection = connect()
    connection.ping(*reconnect)
    assert connection.is_doubtful is is_doubtful
