"""A cluster with a proxy in front of it, as the documentation's configurations say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.harness.configurations import at
from tests.harness.galera import Galera, Node
from tests.harness.haproxy import HAProxy
from tests.harness.processes import HOST, free_port, poll

READY_SECONDS = 20.0
#: What the documented configurations call the nodes and the proxy.
NODE = "10.0.0.{}:3306"
WRITE, READ = "10.0.0.10:3306", "10.0.0.10:3307"
CHECKED_AT = "check port 3307"


@dataclass
class Behind:
    """A cluster, and the proxy's port for each of its services."""

    cluster: Galera
    proxy: HAProxy
    ports: dict[str, int]

    def through(self, service: str, database: dict[str, Any]) -> dict[str, Any]:
        """Django's settings of *database* by way of one of the proxy's services."""
        return {**database, "HOST": HOST, "PORT": self.ports[service]}

    def writer(self) -> Node:
        """The node to which the proxy sends who comes now to write."""
        probe = self.cluster.nodes[0].connect(port=self.ports["write"])
        try:
            probe.query("SELECT @@wsrep_node_name")
            ((name,),) = probe.store_result().fetch_row()
        finally:
            probe.close()
        return next(node for node in self.cluster.nodes if node.name == name)


@contextlib.contextmanager
def galera_behind_haproxy(
    cluster: Galera, configuration: str = "haproxy-galera.cfg"
) -> Iterator[Behind]:
    ports = {"write": free_port(), "read": free_port()}
    addresses = {WRITE: at(ports["write"]), READ: at(ports["read"])}
    for number, node in enumerate(cluster.nodes, start=1):
        # All are on one machine here, so each has another port to be checked at.
        addresses[NODE.format(number)] = f"{at(node.port)} port {node.admin_port}"
    cluster.nodes[0].ask(f"CREATE USER IF NOT EXISTS haproxy@'{HOST}'")
    with HAProxy(configuration, addresses) as proxy:

        def knows() -> bool:
            states = [*proxy.states("write").values(), *proxy.states("read").values()]
            return set(states) == {"UP"}

        assert poll(READY_SECONDS, knows), proxy.states("write")
        yield Behind(cluster, proxy, ports)
