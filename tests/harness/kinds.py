"""Which kind of private server the tests take: POOLED_DB_TEST_SERVER says it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .mariadb import MariaDB
from .mysql import MySQL
from .private import PrivateServer

CHOICE = "POOLED_DB_TEST_SERVER"
KINDS: dict[str, type[PrivateServer]] = {"mariadb": MariaDB, "mysql": MySQL}


def private_server(
    *, max_connections: int = 151, options: Sequence[str] = ()
) -> PrivateServer:
    """A server of the chosen kind, to be started by `with`."""
    chosen = os.environ.get(CHOICE) or "mariadb"
    if chosen not in KINDS:
        raise ValueError(f"{CHOICE}={chosen!r}: choose one of {', '.join(KINDS)}")
    return KINDS[chosen](max_connections=max_connections, options=options)
