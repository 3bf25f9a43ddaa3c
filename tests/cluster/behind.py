"""A cluster with a proxy in front of it, as the documentation's configurations say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import MySQLdb

from tests.harness.configurations import at
from tests.harness.galera import Galera
from tests.harness.group_replication import DURABLE, GroupReplication
from tests.harness.haproxy import HAProxy
from tests.harness.mysql import MySQL
from tests.harness.private import PrivateServer
from tests.harness.processes import HOST, free_port, poll
from tests.harness.router import Router

#: What the documented configurations call the nodes and the proxy.
NODE = "10.0.0.1{}:3306"
WRITE, READ = "10.0.0.10:3306", "10.0.0.10:3307"

#: The account of the proxy's checks.
GALERA_ACCOUNT = (f"CREATE USER IF NOT EXISTS haproxy@'{HOST}'",)
GROUP_ACCOUNT = (
    f"CREATE USER IF NOT EXISTS haproxy@'{HOST}' IDENTIFIED WITH caching_sha2_password",
    f"GRANT SERVICE_CONNECTION_ADMIN ON *.* TO haproxy@'{HOST}'",
    f"GRANT SELECT ON performance_schema.replication_group_members TO haproxy@'{HOST}'",
)


class Alone:
    """One MySQL, as a cluster of one."""

    def __init__(self, server: MySQL) -> None:
        self.nodes = [server]


class OneBehindRouter:
    """What Router would say of it, if it told its clients."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def states(self, service: str) -> dict[str, str]:
        return {"mysqld": "UP" if self.router.running() else "DOWN"}


@dataclass
class Behind:
    """A cluster, and the proxy's port for each of its services."""

    cluster: Any
    proxy: HAProxy | OneBehindRouter
    ports: dict[str, int]

    @property
    def names(self) -> dict[int, str]:
        """The nodes' names by their ports."""
        return {
            node.port: getattr(node, "name", node.program)
            for node in self.cluster.nodes
        }

    def through(self, service: str, database: dict[str, Any]) -> dict[str, Any]:
        """Django's settings of *database* by way of one of the proxy's services."""
        return {**database, "HOST": HOST, "PORT": self.ports[service]}

    def writer(self) -> Any:
        """The node to which the proxy sends who comes now to write."""
        database = self.through("write", self.cluster.nodes[0].settings(""))
        with contextlib.closing(
            MySQLdb.connect(
                host=HOST,
                port=database["PORT"],
                user=database["USER"],
                password=database["PASSWORD"],
                **database.get("OPTIONS", {}),
            )
        ) as probe:
            probe.query("SELECT @@port")
            ((port,),) = probe.store_result().fetch_row()
        return next(node for node in self.cluster.nodes if node.port == port)


@contextlib.contextmanager
def galera_behind_haproxy(
    cluster: Galera, configuration: str = "haproxy-galera.cfg"
) -> Iterator[Behind]:
    for statement in GALERA_ACCOUNT:
        cluster.nodes[0].ask(statement)
    with _haproxy(cluster, cluster.nodes, configuration) as behind:
        assert poll(lambda: _all_up(behind, "write", "read"))
        yield behind


@contextlib.contextmanager
def group_behind_haproxy(
    cluster: GroupReplication, configuration: str = "haproxy-group-replication.cfg"
) -> Iterator[Behind]:
    for statement in GROUP_ACCOUNT:
        cluster.primary().ask(statement)
    with _haproxy(cluster, cluster.nodes, configuration) as behind:

        def ready() -> bool:
            writers = behind.proxy.states("write")
            # "UP 1/2" is still up, and has failed one check of two.
            up = [name for name, state in writers.items() if state.startswith("UP")]
            return _all_up(behind, "read") and up == [cluster.primary().name]

        assert poll(ready)
        yield behind


@contextlib.contextmanager
def alone_behind_router() -> Iterator[Behind]:
    with MySQL(options=DURABLE) as server, Router(server) as router:
        # With this it does not read all of the system's certificates at each connect.
        trusted = {"ca": str(server.data() / "ca.pem")}
        server.client_options = MappingProxyType({"ssl": trusted})
        ports = {"write": router.port, "read": router.port}
        yield Behind(Alone(server), OneBehindRouter(router), ports)
        assert router.running(), router.log()[-2000:]


@contextlib.contextmanager
def _haproxy(
    cluster: Galera | GroupReplication,
    nodes: Sequence[PrivateServer],
    configuration: str,
) -> Iterator[Behind]:
    ports = {"write": free_port(), "read": free_port()}
    addresses = {WRITE: at(ports["write"]), READ: at(ports["read"])}
    for number, node in enumerate(nodes, start=1):
        # All are on one machine here, so each has another port to be checked at.
        addresses[NODE.format(number)] = f"{at(node.port)} port {node.admin_port}"
    with HAProxy(configuration, addresses) as proxy:
        yield Behind(cluster, proxy, ports)


def _all_up(behind: Behind, *services: str) -> bool:
    return all(
        state == "UP"
        for service in services
        for state in behind.proxy.states(service).values()
    )
