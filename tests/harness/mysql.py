"""A private MySQL server, reached by TLS with caching_sha2_password.

The program is the one that POOLED_DB_MYSQLD names; `make test-mysql` sees to that.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
from pathlib import Path
from types import MappingProxyType

from .private import START_SECONDS, PrivateServer, ServerError, common_options
from .processes import HOST, Keeper, tail

PROGRAM = "POOLED_DB_MYSQLD"
LOG_SIZE = "--innodb-redo-log-capacity=8M"


class MySQL(PrivateServer):
    """A private MySQL; who comes by TCP must use TLS.

    Of its administrators one comes on top of max_connections, all others take one away.
    """

    program = "mysqld"
    is_mariadb = False
    before_accounts = "DROP USER root@localhost;\n"
    withheld = "SUPER, CONNECTION_ADMIN"
    client_options = MappingProxyType({"ssl_mode": "REQUIRED"})

    def _install(self, keeper: Keeper) -> None:
        shutil.copytree(_fresh_data(), keeper.directory / "data")

    def _command(self) -> list[str]:
        return [
            _program(),
            LOG_SIZE,
            f"--admin-address={HOST}",
            f"--admin-port={self._admin_port}",
            "--require-secure-transport=ON",
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
            "--event-scheduler=OFF",  # it would count as a running thread
        ]


@functools.cache
def _fresh_data() -> Path:
    """A data directory to copy: to make one takes longer than to start a server."""
    keeper = Keeper("pooled_db-fresh")
    atexit.register(keeper.close)
    command = [_program(), *common_options(keeper), LOG_SIZE, "--initialize-insecure"]
    try:
        status = keeper.start(command).wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        status = None
    if status != 0:
        raise ServerError(
            f"mysqld could not make its data directory; its log:\n{tail(keeper.log())}"
        )
    return keeper.directory / "data"


def _program() -> str:
    program = os.environ.get(PROGRAM)
    if not program:
        raise ServerError(f"{PROGRAM} names no MySQL server program: make test-mysql")
    return program
