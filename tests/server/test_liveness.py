"""`ping_after`: a connection that rested is asked whether it works."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest
from django.db import connections

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.backends.mysql.base import DatabaseWrapper
from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from pooled_db.pool.store import NoIdleConnection
from tests.conftest import connector
from tests.harness.kinds import private_server
from tests.harness.private import PrivateServer
from tests.harness.processes import HOST
from tests.harness.server import Server
from tests.loans import connection_of

MakePool = Callable[..., Pool]


def statements_of_a_checkout(pool: Pool, server: Server) -> int:
    pool.checkout().checkin()
    before = server.status("Questions")
    pool.checkout().checkin()
    return server.status("Questions") - before


def test_nothing_is_asked_by_default_nor_before_the_time(
    make_pool: MakePool, server: Server
) -> None:
    assert statements_of_a_checkout(make_pool(), server) == 0
    assert statements_of_a_checkout(make_pool(ping_after=3600), server) == 0


def test_a_connection_that_rested_is_asked_and_lent(
    make_pool: MakePool, server: Server
) -> None:
    pool = make_pool(pool_size=1, ping_after=0)
    assert statements_of_a_checkout(pool, server) == 1
    loan = pool.checkout()
    connection_of(loan).query("SELECT 1")
    assert connection_of(loan).store_result().fetch_row() == ((1,),)
    loan.checkin()
    assert pool.stats().opened == 1


def test_a_connection_that_was_killed_does_not_answer(server: Server) -> None:
    """The server may have gone since somebody has looked whether it is there."""
    with contextlib.closing(connector(server, "pooled_bare")()) as connection:
        assert connection.answers(30.0)
        server.ask(f"KILL {connection.thread_id()}")

        assert not connection.answers(30.0)


def test_an_event_loop_never_asks(make_pool: MakePool) -> None:
    pool = make_pool(pool_size=1, ping_after=0)
    pool.checkout().checkin()
    loan = pool.admit(Loan(pool))
    with pytest.raises(NoIdleConnection):
        pool.take_idle(loan)
    assert pool.stats().idle == 1
    pool.take(loan)
    loan.checkin()
    assert pool.stats().opened == 1


@pytest.fixture
def frozen() -> Iterator[tuple[PrivateServer, Callable[[], Connection]]]:
    with private_server() as server:
        yield server, connector(server, "frozen", connect_timeout=1)


def test_a_frozen_server_is_found_out_and_the_permit_comes_back(
    frozen: tuple[PrivateServer, Callable[[], Connection]], make_pool: MakePool
) -> None:
    server, connect = frozen
    pool = make_pool(connect, pool_size=2, timeout=30, ping_after=0)
    loans = [pool.checkout(), pool.checkout()]
    for loan in loans:
        loan.checkin()
    server.pause()
    with pytest.raises(ServerUnavailable):
        pool.checkout()
    assert pool.stats().idle == 0  # both were asked, and closed
    server.resume()


def test_who_has_no_time_left_for_another_try_is_refused(
    frozen: tuple[PrivateServer, Callable[[], Connection]], make_pool: MakePool
) -> None:
    server, connect = frozen
    pool = make_pool(connect, pool_size=2, timeout=0.05, ping_after=0)
    pool.checkout().checkin()
    server.pause()
    with pytest.raises(PoolTimeout):
        pool.checkout()
    server.resume()


def test_opening_a_connection_is_bounded_without_a_connect_timeout() -> None:
    """The server accepts, and says nothing for ever."""
    with socket.create_server((HOST, 0)) as silent:
        settings = {
            **connections["default"].settings_dict,
            "HOST": HOST,
            "PORT": silent.getsockname()[1],
            "OPTIONS": {
                **connections["default"].settings_dict["OPTIONS"],
                "pool": {"timeout": 0.5},
            },
        }
        wrapper = DatabaseWrapper(settings, "silent")
        pool = Pool("silent", wrapper.open_connection)
        with pytest.raises(ServerUnavailable):
            pool.checkout()
        pool.dispose()


def test_one_that_does_not_answer_is_dead_and_was_asked_once(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(pool_size=1, ping_after=0)
    pool.checkout().checkin()
    monkeypatch.setattr(Connection, "answers", lambda self, within: False)
    loan = pool.checkout()
    assert (loan.pings, loan.is_new) == (1, True)
    assert pool.stats().closed["dead"] == 1
    loan.checkin()
