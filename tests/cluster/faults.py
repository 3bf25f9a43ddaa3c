"""What befalls the node that is written to, and how it is brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.harness import galera, group_replication
from tests.harness.processes import PATIENCE, poll


@dataclass(frozen=True, slots=True)
class Fault:
    """*harm* and *heal* get the cluster and the node; heal returns when it serves.

    Whether the other nodes have to go on without it first is said by *parts*.
    """

    name: str
    harm: Callable[[Any, Any], object]
    heal: Callable[[Any, Any], object]
    parts: bool = False


def _whole_after(
    bring_back: Callable[[galera.Node], object],
) -> Callable[[galera.Galera, galera.Node], None]:
    """*bring_back*, and wait until all nodes know that they are all there.

    A node that was frozen does not know at once that the others have left it.
    """

    def heal(cluster: galera.Galera, node: galera.Node) -> None:
        bring_back(node)
        if not poll(cluster.is_whole):
            raise TimeoutError(f"{node.name} is not back after {PATIENCE:g} s")

    return heal


def _set(name: str, value: str) -> Callable[[Any, Any], object]:
    return lambda cluster, node: node.set_global(name, value)


OF_GALERA = (
    Fault(
        "killed",
        lambda _, node: node.kill(),
        _whole_after(lambda node: node.start()),
        parts=True,
    ),
    Fault(
        "frozen",
        lambda _, node: node.pause(),
        _whole_after(lambda node: node.resume()),
        parts=True,
    ),
    Fault(
        "cut off from its cluster",
        lambda _, node: node.isolate(),
        _whole_after(lambda node: node.rejoin()),
        parts=True,
    ),
    Fault("set read-only", _set("read_only", "ON"), _set("read_only", "OFF")),
    Fault(
        "told to reject queries",
        _set("wsrep_reject_queries", "'ALL'"),
        _set("wsrep_reject_queries", "'NONE'"),
    ),
    Fault(
        "shut down",
        lambda _, node: node.stop(),
        _whole_after(lambda node: node.start()),
        parts=True,
    ),
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
