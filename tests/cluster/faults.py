"""What befalls the node that is written to, and how it is brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.harness import galera, group_replication
from tests.harness.processes import poll

#: Seconds within which a node has to serve again.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """*harm* and *heal* get the cluster and the node; heal returns when it serves.

    Whether the other nodes have to go on without it first is said by *parts*.
    """

    name: str
    harm: Callable[[Any, Any], object]
    heal: Callable[[Any, Any], object]
    parts: bool = False


def _await_synced(cluster: object, node: galera.Node) -> None:
    if not poll(PATIENCE, node.is_synced):
        raise TimeoutError(f"{node.name} is not synced after {PATIENCE:g} s")


def _resume(cluster: object, node: galera.Node) -> None:
    node.resume()
    _await_synced(cluster, node)


def _set(name: str, value: str) -> Callable[[Any, Any], object]:
    return lambda cluster, node: node.set_global(name, value)


OF_GALERA = (
    Fault("killed", lambda _, node: node.kill(), lambda _, node: node.start(), True),
    Fault("frozen", lambda _, node: node.pause(), _resume, True),
    Fault(
        "cut off from its cluster",
        lambda _, node: node.isolate(),
        lambda _, node: node.rejoin(),
        True,
    ),
    Fault("set read-only", _set("read_only", "ON"), _set("read_only", "OFF")),
    Fault(
        "told to reject queries",
        _set("wsrep_reject_queries", "'ALL'"),
        _set("wsrep_reject_queries", "'NONE'"),
    ),
    Fault("shut down", lambda _, node: node.stop(), lambda _, node: node.start(), True),
)


OF_ROUTER = (
    Fault("killed", lambda _, node: node.kill(), lambda _, node: node.start()),
)


def _hand_over(
    cluster: group_replication.GroupReplication, node: group_replication.Node
) -> None:
    cluster.hand_over(next(one for one in cluster.nodes if one is not node))


OF_GROUP_REPLICATION = (
    Fault("killed", lambda _, node: node.kill(), lambda _, node: node.start()),
    Fault("relieved by a planned switch", _hand_over, lambda _, node: None),
    Fault(
        "told to leave the group",
        lambda _, node: node.leave(),
        lambda _, node: node.join(),
    ),
    Fault("set offline", _set("offline_mode", "ON"), _set("offline_mode", "OFF")),
)
