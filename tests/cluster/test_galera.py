"""Three nodes of Galera behind the HAProxy of docs/clusters/haproxy-galera.cfg."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.galera import Galera, Node
from tests.harness.processes import poll

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
        assert poll(20, node.is_synced)


def counted(node: Node) -> int:
    (row,) = node.ask("SELECT COUNT(*) AS n FROM harness.t")
    return int(row["n"])


def test_a_node_that_was_killed_has_what_was_written_meanwhile(cluster: Galera) -> None:
    first, second, third = cluster.nodes
    first.database("harness")
    first.ask("CREATE TABLE harness.t (id INT AUTO_INCREMENT PRIMARY KEY)")
    first.ask("INSERT INTO harness.t VALUES ()")
    third.kill()
    second.ask("INSERT INTO harness.t VALUES ()")
    third.start()
    assert poll(5, lambda: [counted(node) for node in cluster.nodes] == [2, 2, 2])


def test_a_node_that_was_isolated_refuses_and_catches_up(cluster: Galera) -> None:
    node = cluster.nodes[1]
    node.isolate()
    assert poll(20, lambda: not node.is_synced())
    node.rejoin()
    assert node.is_synced()


def test_the_proxy_writes_to_one_node_and_stays_there(behind: Behind) -> None:
    first = behind.writer()
    first.set_global("read_only", "ON")
    assert poll(10, lambda: behind.writer() is not first)
    second = behind.writer()
    first.set_global("read_only", "OFF")
    assert poll(10, lambda: behind.proxy.states("write")[first.name] == "UP")
    assert behind.writer() is second


def test_a_full_node_is_not_taken_for_dead(behind: Behind) -> None:
    node = behind.writer()
    node.set_global("max_connections", "10")
    held = [node.connect() for _ in range(10)]
    try:
        assert not poll(3, lambda: behind.proxy.states("write")[node.name] != "UP")
    finally:
        for connection in held:
            connection.close()
        node.set_global("max_connections", "151")
