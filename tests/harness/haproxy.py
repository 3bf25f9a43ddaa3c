"""HAProxy in front of private servers, run with a configuration from docs/clusters.

    with HAProxy("haproxy-galera.cfg", servers, write="10.0.0.10:3306") as proxy:
        proxy.ports["write"]
        proxy.states("write")           # {"node1": "UP", "node2": "DOWN 1/2", ...}

Debian's haproxy is needed: .ci/setup haproxy.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from .configurations import written_for_here
from .private import ServerError
from .processes import PATIENCE, Keeper, poll, tail
from .started import Program

STATS_SOCKET = "/run/haproxy/admin.sock"


class HAProxy(Program):
    """Runs inside the with block.

    *addresses* says for what the configuration documents what to take here.
    """

    def __init__(self, configuration: str, addresses: Mapping[str, str]) -> None:
        super().__init__("pooled_db-haproxy")
        self._configuration = configuration
        self._addresses = dict(addresses)

    def states(self, service: str) -> dict[str, str]:
        """The state of each of a service's servers, such as "UP" or "DOWN 1/2"."""
        return {row["svname"]: row["status"] for row in self._servers(service)}

    def sessions(self, service: str) -> dict[str, int]:
        """How many connections each of a service's servers has now."""
        return {row["svname"]: int(row["scur"]) for row in self._servers(service)}

    def command(self, text: str) -> str:
        """Say something to its stats socket, and return the answer."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self._socket))
            client.sendall(f"{text}\n".encode())
            with client.makefile() as answer:
                return answer.read()

    @property
    def _socket(self) -> Path:
        assert self._keeper is not None
        return self._keeper.directory / "admin"

    def _servers(self, service: str) -> list[dict[str, str]]:
        told = self.command("show stat").removeprefix("# ")
        return [
            row
            for row in csv.DictReader(io.StringIO(told))
            if row["pxname"] == service and row["svname"] not in ("FRONTEND", "BACKEND")
        ]

    def _start(self, keeper: Keeper) -> None:
        addresses = {STATS_SOCKET: str(self._socket), **self._addresses}
        path = keeper.directory / "haproxy.cfg"
        path.write_text(written_for_here(self._configuration, addresses))
        process = keeper.start([_program(), "-db", "-f", str(path)])

        def ready() -> bool:
            if process.poll() is not None:
                raise ServerError(f"haproxy ended; its output:\n{tail(self.log())}")
            with contextlib.suppress(OSError):
                return bool(self.command("show info"))
            return False

        if not poll(ready):
            raise ServerError(f"haproxy does not answer:\n{tail(self.log())}")


def _program() -> str:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which("haproxy", path=path)
    if found is None:
        raise ServerError("no haproxy here: .ci/setup haproxy")
    return found
