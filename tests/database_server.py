"""The database server of this test run: a private one, or the one you name.

Its address is settled when this module is imported, so that settings can name it. The
private one runs only once start() was called: tests/unit does without.
"""

from __future__ import annotations

import atexit
import functools
import os

from tests.harness.kinds import private_server
from tests.harness.private import PrivateServer
from tests.harness.server import Server, from_url

#: Databases that the settings name, and that start() creates.
DATABASES = ("pooled_default", "pooled_other")


def _choose() -> Server:
    if url := os.environ.get("POOLED_DB_TEST_URL"):
        return from_url(url)
    return private_server(max_connections=100)


SERVER = _choose()


@functools.cache
def start() -> Server:
    """Return the server, running, with the databases of the settings."""
    if isinstance(SERVER, PrivateServer):
        atexit.register(SERVER.close)
        SERVER.start()
    for name in DATABASES:
        SERVER.database(name)
    return SERVER
