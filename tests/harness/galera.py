"""A private Galera cluster: three MariaDBs that write what any of them writes.

    with Galera() as cluster:
        cluster.nodes[0].database("shop")       # is there on every node
        cluster.nodes[0].kill()
        cluster.nodes[0].start()                # catches up, and serves again

Debian's galera-4 is needed: .ci/setup galera-4.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import MySQLdb

from .mariadb import MariaDB
from .private import ServerError
from .processes import HOST, PATIENCE, Keeper, free_port, poll
from .started import Started

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")

#: Where wsrep_sst_ist lies.
SCRIPTS = Path(__file__).parent

SYNCED = 4
#: A group's own bookkeeping, none of which a copy may have.
OWN_FILES = ("galera.cache", "gvwstate.dat")

#: A silent node is left after two seconds, not after five: minutes are short here. With
#: one second, nodes on a busy machine suspect each other until none has a majority.
EVICTION = (
    "evs.keepalive_period=PT0.3S",
    "evs.inactive_check_period=PT0.2S",
    "evs.suspect_timeout=PT2S",
    "evs.inactive_timeout=PT6S",
    "evs.install_timeout=PT6S",
)

REPLICATION = (
    "--wsrep-on=ON",
    "--binlog-format=ROW",
    "--default-storage-engine=InnoDB",
    "--innodb-autoinc-lock-mode=2",
    f"--wsrep-node-address={HOST}",
    "--wsrep-sst-method=ist",
    "--innodb-doublewrite=1",  # pages that a kill has cut in two
)


class Node(MariaDB):
    """One server of a cluster."""

    # Each node makes its accounts itself, all the same.
    before_accounts = f"SET SESSION wsrep_on = OFF;\n{MariaDB.before_accounts}"

    def __init__(
        self,
        name: str,
        group_port: int,
        group: str,
        *,
        max_connections: int,
        options: Sequence[str] = (),
    ) -> None:
        if not PROVIDER.exists():
            raise ServerError(f"no {PROVIDER} here: .ci/setup galera-4")
        super().__init__(max_connections=max_connections)
        self.name = name
        self.seed: Path | None = None
        self._alone = True
        provider = [
            f"gmcast.listen_addr=tcp://{HOST}:{group_port}",
            f"ist.recv_addr={HOST}:{free_port()}",
            "gcache.size=64M",
            *EVICTION,
        ]
        self._options = (
            *REPLICATION,
            f"--wsrep-provider={PROVIDER}",
            f"--wsrep-cluster-address={group}",
            f"--wsrep-node-name={name}",
            f"--wsrep-sst-receive-address={HOST}:{free_port()}",
            f"--wsrep-provider-options={';'.join(provider)}",
            *options,
        )

    def begin(self) -> None:
        """Start as the first of a new group."""
        self._options = (*self._options, "--wsrep-new-cluster")
        try:
            self.start()
        finally:
            self._options = self._options[:-1]

    def start(self) -> None:
        """Start, join the group, and catch up."""
        options = self._options
        if self._was_killed():
            self._options = (*options, f"--wsrep-start-position={self._recovered()}")
        try:
            super().start()
        finally:
            self._options = options
        if not poll(self.is_synced):
            raise self._failure(f"is not synced after {PATIENCE:g} s")

    def is_synced(self) -> bool:
        """Whether it serves: part of the primary component, and not behind."""
        with contextlib.suppress(MySQLdb.OperationalError):
            state = self.wsrep("ready"), self.wsrep("local_state")
            return state == ("ON", str(SYNCED))
        return False

    def wsrep(self, name: str) -> str:
        """One of the values of SHOW GLOBAL STATUS that begin with wsrep_."""
        (row,) = self.ask(
            "SHOW GLOBAL STATUS WHERE Variable_name = %s", f"wsrep_{name}"
        )
        return str(row["Value"])

    def isolate(self) -> None:
        """Cut it off from the other nodes, not from its clients."""
        self.ask("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")

    def rejoin(self) -> None:
        """Undo isolate(), and wait until it serves."""
        self.ask("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
        if not poll(self.is_synced):
            raise self._failure(f"has not rejoined after {PATIENCE:g} s")

    def set_global(self, name: str, value: str) -> None:
        self.ask(f"SET GLOBAL {name} = {value}")

    def _make_data(self, keeper: Keeper) -> list[str]:
        if self.seed is None:
            return super()._make_data(keeper)
        shutil.copytree(self.seed, keeper.directory / "data")
        return []

    def _environment(self) -> Mapping[str, str]:
        path = os.environ.get("PATH", os.defpath)
        return {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{path}"}

    def _was_killed(self) -> bool:
        if self._keeper is None:
            return False
        return "seqno:   -1" in (self.data() / "grastate.dat").read_text()

    def _recovered(self) -> str:
        """Where in the group's history InnoDB has stopped, as uuid:number."""
        assert self._keeper is not None
        command = [*self._full_command(self._keeper), "--wsrep-recover"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in asked.stderr.splitlines():
            _, mark, position = line.partition("Recovered position: ")
            if mark:
                return position.split(",")[0].strip()
        raise ServerError(f"{self.name} has no position:\n{asked.stderr[-2000:]}")


class Galera(Started):
    """*size* nodes that are one cluster inside the with block."""

    def __init__(
        self, *, size: int = 3, max_connections: int = 151, options: Sequence[str] = ()
    ) -> None:
        ports = [free_port() for _ in range(size)]
        group = "gcomm://" + ",".join(f"{HOST}:{port}" for port in ports)
        self.nodes = [
            Node(
                f"node{number}",
                port,
                group,
                max_connections=max_connections,
                options=options,
            )
            for number, port in enumerate(ports, start=1)
        ]
        for node in self.nodes:
            node.password = self.nodes[0].password

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def is_whole(self) -> bool:
        """Whether all nodes serve, and know of each other."""
        size = str(len(self.nodes))
        return all(
            node.is_synced() and node.wsrep("cluster_size") == size
            for node in self.nodes
        )

    def is_without(self, node: Node) -> bool:
        """Whether all other nodes go on without *node*."""
        left = str(len(self.nodes) - 1)
        return all(
            other.wsrep("cluster_size") == left and other.is_synced()
            for other in self.nodes
            if other is not node
        )

    def start(self) -> None:
        """The first node makes the data; the others begin with a copy of it."""
        first, *others = self.nodes
        first.begin()
        first.stop()
        seed = first.data().with_name("seed")
        shutil.copytree(first.data(), seed, ignore=shutil.ignore_patterns(*OWN_FILES))
        first.begin()
        for node in others:
            node.seed = seed
            node.start()
