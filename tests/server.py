"""The database server of this test run: a private one, or the one you name."""

from __future__ import annotations

import atexit
import os

from tests.harness.kinds import private_server
from tests.harness.server import Server, from_url


def _start() -> Server:
    if url := os.environ.get("POOLED_DB_TEST_URL"):
        return from_url(url)
    server = private_server(max_connections=100)
    atexit.register(server.close)
    return server.__enter__()


SERVER = _start()
