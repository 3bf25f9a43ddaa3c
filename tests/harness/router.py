"""MySQL Router in front of a private MySQL, with a configuration from docs/clusters.

    with Router(mysql) as router:
        database = router.through(mysql.database("shop"))
        router.running()

The program is the one that POOLED_DB_MYSQLROUTER names; `.ci/mysql router` finds it.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .configurations import at, written_for_here
from .private import PrivateServer, ServerError
from .processes import HOST, Keeper, free_port, poll, tail
from .started import Program

PROGRAM = "POOLED_DB_MYSQLROUTER"


class Router(Program):
    """Runs inside the with block; *replaced* changes lines of its configuration."""

    def __init__(
        self,
        server: PrivateServer,
        configuration: str = "router-sharing.conf",
        replaced: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("pooled_db-router")
        self.port = free_port()
        self._server = server
        self._configuration = configuration
        self._replaced = dict(replaced or {})
        self._process: subprocess.Popen[bytes] | None = None

    def through(self, database: dict[str, Any]) -> dict[str, Any]:
        """Django's settings of *database* by way of the router."""
        return {**database, "HOST": HOST, "PORT": self.port}

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _start(self, keeper: Keeper) -> None:
        path = keeper.directory / "router.conf"
        path.write_text(written_for_here(self._configuration, self._addresses()))
        program = _program()
        self._process = keeper.start([program, "-c", str(path)])
        if not poll(self._accepts):
            raise ServerError(f"mysqlrouter does not listen:\n{tail(self.log())}")

    def _addresses(self) -> dict[str, str]:
        certificates = self._server.data()
        plugins = Path(_program()).parent / "usr/lib/mysqlrouter/plugin"
        return {
            "10.0.0.10\nbind_port = 6446": f"{HOST}\nbind_port = {self.port}",
            "10.0.0.11:3306": at(self._server.port),
            "/etc/mysqlrouter/router-cert.pem": str(certificates / "server-cert.pem"),
            "/etc/mysqlrouter/router-key.pem": str(certificates / "server-key.pem"),
            **(
                {"/usr/lib/mysqlrouter/plugin": str(plugins)}
                if plugins.is_dir()
                else {}
            ),
            **self._replaced,
        }

    def _accepts(self) -> bool:
        if not self.running():
            raise ServerError(f"mysqlrouter ended; its output:\n{tail(self.log())}")
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def _program() -> str:
    program = os.environ.get(PROGRAM)
    if not program:
        raise ServerError(f"{PROGRAM} names no MySQL Router: .ci/mysql router")
    return program
