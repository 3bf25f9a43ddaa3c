"""A private MySQL Group Replication: three MySQLs of which one takes writes.

with GroupReplication() as group:
    group.primary().database("shop")
    group.hand_over(group.nodes[1])         # a planned switch
    group.nodes[1].kill()
    group.nodes[1].start()                  # recovers, and serves again
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

import MySQLdb

from .mysql import PROGRAM, MySQL
from .private import ServerError
from .processes import HOST, PATIENCE, Keeper, free_port, poll
from .started import Started

ONLINE = "ONLINE"

#: Seconds after which a planned switch ends what transactions are open.
TRANSACTIONS_MAY_LAST = 2

#: A killed server must not know by its binary log of what its tables have lost.
DURABLE = ("--innodb-flush-log-at-trx-commit=1", "--innodb-doublewrite=1")


class Node(MySQL):
    """One server of a group."""

    # Each node makes its accounts itself, all the same, and does not replicate that.
    before_accounts = f"SET SESSION sql_log_bin = 0;\n{MySQL.before_accounts}"

    def __init__(self, number: int, ports: list[int], group: str) -> None:
        super().__init__()
        self.name = f"node{number}"
        self._options = (
            *_plugins(),
            *DURABLE,
            f"--server-id={number}",
            "--log-bin=binlog",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--require-secure-transport=OFF",  # the proxy's checks come without TLS
            f"--report-host={HOST}",
            f"--report-port={self.port}",
            "--plugin-load-add=group_replication.so",
            f"--loose-group-replication-group-name={group}",
            f"--loose-group-replication-local-address={HOST}:{ports[number - 1]}",
            "--loose-group-replication-group-seeds="
            + ",".join(f"{HOST}:{port}" for port in ports),
            "--loose-group-replication-start-on-boot=OFF",
            "--loose-group-replication-recovery-use-ssl=ON",
            "--loose-group-replication-recovery-get-public-key=ON",
            "--loose-group-replication-member-expel-timeout=0",
        )

    def start(self) -> None:
        """Start the server, and join the group if it was in it."""
        again = self._keeper is not None
        super().start()
        if again:
            self.join()

    def begin(self) -> None:
        """Make a new group of this node alone."""
        self.ask("SET GLOBAL group_replication_bootstrap_group = ON")
        self.join()
        self.ask("SET GLOBAL group_replication_bootstrap_group = OFF")

    def join(self) -> None:
        """Join the group, and wait until it has caught up."""
        self.ask(
            f"START GROUP_REPLICATION USER = '{self.admin_user}',"
            f" PASSWORD = '{self.password}'"
        )
        if not poll(self.is_online):
            raise self._failure(f"is not online after {PATIENCE:g} s")

    def leave(self) -> None:
        """Leave the group; the server goes on, read-only."""
        self.ask("STOP GROUP_REPLICATION")

    def is_online(self) -> bool:
        return self._member("MEMBER_STATE") == ONLINE

    def is_primary(self) -> bool:
        return self.is_online() and self._member("MEMBER_ROLE") == "PRIMARY"

    def set_global(self, name: str, value: str) -> None:
        self.ask(f"SET GLOBAL {name} = {value}")

    def _make_data(self, keeper: Keeper) -> list[str]:
        first = super()._make_data(keeper)
        # Copies of one data directory would all have one server_uuid.
        (keeper.directory / "data" / "auto.cnf").unlink()
        return first

    def _member(self, column: str) -> str:
        with contextlib.suppress(MySQLdb.OperationalError, ServerError):
            rows = self.ask(
                f"SELECT {column} AS told FROM"
                " performance_schema.replication_group_members"
                " WHERE MEMBER_ID = @@server_uuid"
            )
            return str(rows[0]["told"]) if rows else ""
        return ""


class GroupReplication(Started):
    """*size* nodes that are one group inside the with block; the first is primary."""

    def __init__(self, *, size: int = 3) -> None:
        ports = [free_port() for _ in range(size)]
        group = str(uuid.uuid4())
        self.nodes = [Node(number, ports, group) for number in range(1, size + 1)]
        for node in self.nodes:
            node.password = self.nodes[0].password

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        first.begin()
        for node in others:
            node.join()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def primary(self) -> Node:
        return next(node for node in self.nodes if node.is_primary())

    def hand_over(self, node: Node) -> None:
        """Make *node* the primary, as planned maintenance does."""
        (row,) = node.ask("SELECT @@server_uuid AS uuid")
        node.ask(
            "SELECT group_replication_set_as_primary(%s, %s)",
            row["uuid"],
            TRANSACTIONS_MAY_LAST,
        )


def _plugins() -> list[str]:
    """An unpacked server, unlike an installed one, has to be told where they are."""
    unpacked = Path(os.environ.get(PROGRAM, "")).parent / "usr/lib/mysql/plugin"
    return [f"--plugin-dir={unpacked}"] if unpacked.is_dir() else []
