"""A private MySQL server, reached by TLS with caching_sha2_password.

The program is the one that POOLED_DB_MYSQLD names; `make test-mysql` sees to that.
"""

from __future__ import annotations

import os
from types import MappingProxyType

from .private import PrivateServer, ServerError, common_options
from .processes import HOST, Keeper

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

    @classmethod
    def install_command(cls, keeper: Keeper) -> list[str]:
        return [
            _program(),
            *common_options(keeper),
            LOG_SIZE,
            "--initialize-insecure",
        ]

    def _command(self) -> list[str]:
        return [
            _program(),
            LOG_SIZE,
            f"--admin-address={HOST}",
            f"--admin-port={self.admin_port}",
            "--require-secure-transport=ON",
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
            "--event-scheduler=OFF",  # it would count as a running thread
        ]


def _program() -> str:
    program = os.environ.get(PROGRAM)
    if not program:
        raise ServerError(f"{PROGRAM} names no MySQL server program: make test-mysql")
    return program
