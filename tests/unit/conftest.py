"""What several of these tests begin with. None of them has the database server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from tests.harness.fake_server import FakeServer
from tests.loans import connector, lend
from tests.virtual_loop import VirtualLoop


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def pool(server: FakeServer) -> Iterator[Pool]:
    """One of three connections to it, for which nobody waits."""
    pool = Pool("fake", connector(server), pool_size=3, timeout=0.01, recycle=1000.0)
    yield pool
    assert (pool.gate.free, pool.checkedout()) == (3, 0)
    pool.dispose()


@pytest.fixture
def lent(server: FakeServer) -> Iterator[tuple[Loan, Connection]]:
    """A connection to it that is lent, whose session it makes as new."""
    server.answers("SELECT @@init_connect", [["", "NONE"]])
    server.answers("SELECT 1", [["1"]])
    pool = Pool("fake", connector(server), pool_size=1)
    loan, connection = lend(pool)
    yield loan, connection
    loan.checkin()
    assert (pool.gate.free, pool.checkedout()) == (1, 0)
    pool.dispose()


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def asks_no_server(settings: Any) -> None:
    """Requests ask for a connection at their first query, and make none."""
    settings.POOLED_DB = {"CHECKOUT": "query"}
