"""Three nodes of Galera behind the HAProxy of docs/clusters/haproxy-galera.cfg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.connection import Connection
from pooled_db.driver.errors import error_code, why_not_connected
from pooled_db.pool.pool import Pool
from tests.harness.galera import Galera, Node
from tests.harness.processes import poll
from tests.loans import ask, lend

from .behind import Behind, galera_behind_haproxy


@pytest.fixture(scope="module")
def cluster() -> Iterator[Galera]:
    with Galera() as cluster:
        yield cluster


@pytest.fixture
def behind(cluster: Galera) -> Iterator[Behind]:
    with galera_behind_haproxy(cluster) as behind:
        yield behind
    for node in cluster.nodes:
        assert poll(node.is_synced)


def counted(node: Node) -> int:
    (row,) = node.ask("SELECT COUNT(*) AS n FROM harness.t")
    return int(row["n"])


@contextlib.contextmanager
def pool_on(node: Node, **options: Any) -> Iterator[Pool]:
    def connect() -> Connection:
        return Connection(
            host=node.host,
            port=node.port,
            user=node.user,
            password=node.password,
            autocommit=True,
            **options,
        )

    pool = Pool(node.name, connect, pool_size=1)
    try:
        yield pool
    finally:
        pool.dispose()


def test_waiting_for_other_nodes_writes_survives_a_reset(cluster: Galera) -> None:
    wanted = "SET SESSION wsrep_sync_wait = 1"
    with pool_on(cluster.nodes[0], init_command=wanted) as pool:
        loan, connection = lend(pool)
        first = ask(connection, "SELECT CONNECTION_ID()")
        ask(connection, "SET SESSION wsrep_sync_wait = 0")
        loan.checkin()
        loan, connection = lend(pool)
        assert ask(connection, "SELECT CONNECTION_ID()") == first
        assert ask(connection, "SELECT @@wsrep_sync_wait") == 1
        loan.checkin()


def test_of_two_writers_of_one_row_the_later_has_a_deadlock_at_its_commit(
    cluster: Galera,
) -> None:
    first, second, _ = cluster.nodes
    first.database("conflict")
    first.ask("CREATE OR REPLACE TABLE conflict.t (id INT PRIMARY KEY, n INT)")
    first.ask("INSERT INTO conflict.t VALUES (1, 0)")
    with pool_on(first) as here, pool_on(second) as there:
        (one, mine), (other, theirs) = lend(here), lend(there)
        assert poll(lambda: ask(theirs, "SELECT COUNT(*) FROM conflict.t") == 1)
        for connection in (mine, theirs):
            connection.begin()
        # Locks are of one node: nobody waits here.
        ask(mine, "UPDATE conflict.t SET n = n + 1 WHERE id = 1")
        ask(theirs, "UPDATE conflict.t SET n = n + 1 WHERE id = 1")
        mine.commit()
        with pytest.raises(MySQLdb.OperationalError) as failed:
            theirs.commit()
        assert error_code(failed.value) == 1213
        # The session is as good as before.
        assert ask(theirs, "SELECT 1") == 1
        for loan in (one, other):
            loan.checkin()
    assert poll(lambda: first.ask("SELECT n FROM conflict.t") == [{"n": 1}])


def test_a_node_that_was_killed_has_what_was_written_meanwhile(cluster: Galera) -> None:
    first, second, third = cluster.nodes
    first.database("harness")
    first.ask("CREATE TABLE harness.t (id INT AUTO_INCREMENT PRIMARY KEY)")
    first.ask("INSERT INTO harness.t VALUES ()")
    third.kill()
    second.ask("INSERT INTO harness.t VALUES ()")
    third.start()
    assert poll(lambda: [counted(node) for node in cluster.nodes] == [2, 2, 2])


def test_a_node_that_was_isolated_refuses_and_catches_up(cluster: Galera) -> None:
    node = cluster.nodes[1]
    node.isolate()
    assert poll(lambda: not node.is_synced())
    node.rejoin()
    assert node.is_synced()


def writer_if_decided(behind: Behind) -> Node | None:
    """The node that is written to; ``None`` if the proxy ends this very connection."""
    try:
        writer: Node = behind.writer()
    except MySQLdb.OperationalError as error:
        if why_not_connected(error) is None:
            raise
        return None
    return writer


def test_the_proxy_writes_to_one_node_and_stays_there(behind: Behind) -> None:
    first = behind.writer()
    first.set_global("read_only", "ON")
    assert poll(lambda: writer_if_decided(behind) not in (None, first))
    second = behind.writer()
    first.set_global("read_only", "OFF")
    assert poll(lambda: behind.proxy.states("write")[first.name] == "UP")
    assert behind.writer() is second


def test_a_full_node_is_not_taken_for_dead(behind: Behind) -> None:
    node = behind.writer()
    node.set_global("max_connections", "10")
    held = [node.connect() for _ in range(10)]
    try:
        assert not poll(lambda: behind.proxy.states("write")[node.name] != "UP", 3)
    finally:
        for connection in held:
            connection.close()
        node.set_global("max_connections", "151")
