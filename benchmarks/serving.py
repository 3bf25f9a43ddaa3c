"""A contender, served by a real server on the private database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender, ServerName
from tests.harness.mariadb import MariaDB
from tests.harness.processes import poll
from tests.harness.servers import AppServer, gunicorn, uvicorn

ROOT = Path(__file__).parents[1]
SCHEMA = "benchmark"
GUNICORN_THREADS = 32
QUIET = ("--log-level", "warning")
DISCONNECT_SECONDS = 10.0


@contextlib.contextmanager
def served(
    database: MariaDB,
    server: ServerName,
    contender: Contender,
    *,
    pool_size: int | None = None,
    **settings: Any,
) -> Iterator[AppServer]:
    """Serve it in one process; when it ends, none of its connections is left."""
    site = {**contender.settings(database.database(SCHEMA), pool_size), **settings}
    env = {
        "BENCH_SETTINGS": json.dumps(site),
        "BENCH_DOOR": "1" if contender.door else "",
        "DJANGO_SETTINGS_MODULE": "benchmarks.site.settings",
    }
    if server == "gunicorn":
        serving = gunicorn(
            "benchmarks.site.wsgi:application",
            threads=GUNICORN_THREADS,
            env=env,
            cwd=ROOT,
            args=QUIET,
        )
    else:
        serving = uvicorn(
            "benchmarks.site.asgi:application", env=env, cwd=ROOT, args=QUIET
        )
    with serving as running:
        try:
            yield running
        finally:
            # In good order it would first work off what nobody waits for any more.
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)
    poll(DISCONNECT_SECONDS, lambda: not database.process_list())
