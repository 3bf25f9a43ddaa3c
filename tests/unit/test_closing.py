"""How a connection is found dead, and who closes it, if it was opened at all."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import DriverConnection
from pooled_db.driver.connection import Connection, connections
from pooled_db.driver.opening import opened_by
from pooled_db.driver.use import NO_THREAD
from tests.gates import PATIENCE, start
from tests.harness.fake_server import FakeServer
from tests.harness.interrupts import Interrupted
from tests.loans import connector


@pytest.fixture
def connection(server: FakeServer) -> Iterator[Connection]:
    connection = connector(server)()
    yield connection
    connection.close()


# Whether it is alive.


def test_one_is_alive_until_its_server_ends_it(
    server: FakeServer, connection: Connection
) -> None:
    assert connection.is_alive()
    server.close_sessions()
    assert connection._readable.within(PATIENCE)
    assert not connection.is_alive()


def test_a_server_that_is_asked_answers_until_it_ends_it(
    server: FakeServer, connection: Connection
) -> None:
    assert connection.answers(PATIENCE)
    server.close_sessions()
    assert not connection.answers(PATIENCE)


def test_a_server_that_says_nothing_in_time_does_not_answer(
    connection: Connection,
) -> None:
    waited: list[float] = []

    def within(seconds: float) -> bool:
        waited.append(seconds)
        return False

    connection._readable = SimpleNamespace(within=within)  # type: ignore[assignment]
    assert not connection.answers(2.5)
    assert waited == [2.5]


def test_what_is_closed_is_not_alive_nor_at_rest(connection: Connection) -> None:
    assert connection.is_at_rest
    connection.close()
    assert (connection.is_alive(), connection.is_at_rest) == (False, False)


def test_another_socket_with_the_number_of_a_lost_one_is_not_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PyMySQL tells, and mysqlclient with some libraries."""
    monkeypatch.setattr(Connection, "fileno", lambda self: -1)
    assert not connection.is_alive()


# Closing it.


def test_it_is_told_by_its_number_also_when_it_is_closed(
    connection: Connection,
) -> None:
    """The driver's own words name the host."""
    number = connection.thread_id()
    told = [(connection.connection_id, repr(connection))]
    connection.close()
    told.append((connection.connection_id, repr(connection)))
    assert told == [
        (number, f"<Connection {number}: open>"),
        (number, f"<Connection {number}: closed>"),
    ]


def test_closing_it_again_is_nothing(connection: Connection) -> None:
    connection.close()
    connection.close()
    assert not connection.open


def test_what_has_watched_it_goes_with_it(connection: Connection) -> None:
    """Without waiting for the garbage collector: the two have kept each other."""

    class Proxy:
        __wrapped__ = connection

    connection.proxy = Proxy()
    watching = weakref.ref(connection.proxy)
    connection.close()
    assert watching() is None


def test_of_two_threads_one_closes_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver would free its memory twice."""
    inside, goes_on = threading.Event(), threading.Event()
    close: Any = DriverConnection.close
    closed: list[Connection] = []

    def slowly(one: Connection) -> None:
        closed.append(one)
        inside.set()
        assert goes_on.wait(PATIENCE)
        close(one)

    monkeypatch.setattr(DriverConnection, "close", slowly)
    first = start(connection.close)
    assert inside.wait(PATIENCE)
    start(connection.close).result(PATIENCE)
    goes_on.set()
    first.result(PATIENCE)
    assert closed == [connection]


@pytest.mark.parametrize(
    "error", [Interrupted(), MySQLdb.OperationalError(1115, "Unknown character set")]
)
def test_what_is_not_set_up_does_not_stay_open(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """For as long as somebody keeps the traceback."""
    begun: list[Connection] = []

    def fail(one: Connection, *args: object) -> None:
        begun.append(one)
        assert one.open
        raise error

    monkeypatch.setattr(DriverConnection, "set_character_set", fail)
    with pytest.raises(type(error)):
        connector(server)()
    assert [one.open for one in begun] == [False]


def test_a_handshake_that_breaks_blames_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = MySQLdb.OperationalError(2026, "TLS/SSL error: self-signed certificate")

    def fail(*args: object, **kwargs: object) -> None:
        raise said

    monkeypatch.setattr(DriverConnection, "__init__", fail)
    with pytest.raises(MySQLdb.OperationalError) as broke:
        Connection(host="db.internal", ssl_mode="REQUIRED")
    text = "Lost connection to server during the TLS handshake"
    assert broke.value.args == (2013, text)
    assert broke.value.__cause__ is said
    # Who wants it verified is told of the certificate.
    with pytest.raises(MySQLdb.OperationalError) as untrusted:
        Connection(host="db.internal", ssl_mode="VERIFY_CA")
    assert untrusted.value is said


# In a forked child.


def test_a_child_finds_all_that_are_open(connection: Connection) -> None:
    assert connection in connections


def test_a_child_lets_go_of_the_socket_and_writes_nowhere() -> None:
    here, there = socket.socketpair()
    with here, there, open(os.devnull, "rb") as null:
        inherited: Any = SimpleNamespace(slot=object(), fileno=here.fileno)
        Connection.abandon(inherited, null.fileno())
        assert inherited.slot is None
        assert inherited.loan.user == NO_THREAD
        assert os.path.sameopenfile(here.fileno(), null.fileno())
        assert not os.get_inheritable(here.fileno())
        assert there.recv(1) == b""


@pytest.mark.parametrize("error", [MySQLdb.InterfaceError(0, ""), OSError(9, "")])
def test_it_has_nothing_to_let_go_of_where_there_is_no_socket(error: Exception) -> None:
    def fileno() -> int:
        raise error

    closed: Any = SimpleNamespace(slot=None, fileno=fileno)
    Connection.abandon(closed, 0)
    assert closed.loan.user == NO_THREAD


# Opening one by way of the driver.

Connect = Callable[[], Any]


@pytest.fixture
def connect(server: FakeServer) -> Connect:
    return partial(
        MySQLdb.connect, host=server.host, port=server.port, user="any", password=""
    )


def test_what_others_open_is_of_the_drivers_class(connect: Connect) -> None:
    theirs = connect()
    ours: Any = opened_by(connect)
    assert (type(theirs), type(ours)) == (DriverConnection, Connection)
    theirs.close()
    ours.close()


def test_one_that_nothing_watches_has_no_proxy(connect: Connect) -> None:
    opened: Any = opened_by(connect)
    assert opened.proxy is None
    opened.close()


def test_a_class_of_a_backends_own_is_opened_and_is_not_the_pools(
    connect: Connect,
) -> None:
    class Own(DriverConnection):
        """A driver's connection with more to it."""

    opened: list[Any] = []

    def connect_own() -> Any:
        opened.append(Own(**connect.keywords))  # type: ignore[attr-defined]
        return opened[-1]

    assert opened_by(connect_own) is None
    assert [type(one) for one in opened] == [Own]
    opened[0].close()


def test_a_proxy_that_names_its_number_stands_for_the_one_that_is_open(
    connect: Connect,
) -> None:
    """A backend has tried twice, and closed what it did not like."""

    proxy: Any = SimpleNamespace()

    def connect_twice() -> Any:
        connect().close()
        proxy.thread_id = connect().thread_id
        return proxy

    opened: Any = opened_by(connect_twice)
    assert opened.open
    assert opened.proxy is proxy
    opened.close()


def test_what_is_opened_on_the_way_hides_nothing_that_is_opened_then(
    connect: Connect,
) -> None:
    """As where a backend fetches a password from another database."""

    def connect_with_help() -> Any:
        helper: Any = opened_by(connect)
        helper.close()
        return connect()

    opened: Any = opened_by(connect_with_help)
    assert type(opened) is Connection
    opened.close()


@pytest.mark.parametrize(
    "error", [Interrupted(), MySQLdb.OperationalError(1045, "Access denied")]
)
def test_what_is_not_returned_does_not_stay_open(
    connect: Connect, error: BaseException
) -> None:
    opened: list[Any] = []

    def connect_and_fail() -> None:
        opened.append(connect())
        raise error

    with pytest.raises(type(error)):
        opened_by(connect_and_fail)
    assert [one.open for one in opened] == [0]
