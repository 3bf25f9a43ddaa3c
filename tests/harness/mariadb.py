"""A private MariaDB server.

    with MariaDB(max_connections=20) as server:
        DATABASES = {"default": {"ENGINE": ..., **server.database("shop")}}
        server.status("Threads_connected")

No root, no system service and no file outside one temporary directory are needed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from .private import PrivateServer, ServerError, common_options
from .processes import Keeper

LEAST_MAX_CONNECTIONS = 10
LOG_SIZE = "--innodb-log-file-size=8M"


class MariaDB(PrivateServer):
    """A private MariaDB; administrators come in by its extra port."""

    program = "mariadbd"
    is_mariadb = True
    before_accounts = (
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';\n"
        "FLUSH PRIVILEGES;\n"
    )
    withheld = "SUPER, CONNECTION ADMIN, READ ONLY ADMIN"

    def __init__(
        self, *, max_connections: int = 151, options: Sequence[str] = ()
    ) -> None:
        if max_connections < LEAST_MAX_CONNECTIONS:
            raise ValueError(
                f"max_connections={max_connections}: MariaDB takes no less than "
                f"{LEAST_MAX_CONNECTIONS}, and would silently use that"
            )
        super().__init__(max_connections=max_connections, options=options)

    def _counts_administrators(self) -> bool:
        return False

    @classmethod
    def install_command(cls, keeper: Keeper) -> list[str]:
        return [
            _binary("mariadb-install-db"),
            *common_options(keeper),
            LOG_SIZE,
            "--force",  # no matter whether this host's name can be resolved
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]

    def _command(self) -> list[str]:
        return [
            _binary("mariadbd"),
            LOG_SIZE,
            f"--extra-port={self.admin_port}",
            "--extra-max-connections=20",
        ]


def _binary(name: str) -> str:
    # Debian keeps servers in sbin, which is not on every user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise ServerError(f"no {name} here: install mariadb-server-core (make setup)")
    return found
