"""The database server of this test run: a private MariaDB, or the one you name."""

from __future__ import annotations

import atexit
import os

from tests.harness.mariadb import MariaDB, Server, from_url


def _start() -> Server:
    if url := os.environ.get("POOLED_DB_TEST_URL"):
        return from_url(url)
    server = MariaDB(max_connections=100)
    atexit.register(server.close)
    return server.__enter__()


SERVER = _start()
