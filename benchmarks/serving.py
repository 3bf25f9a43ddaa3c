"""A contender, served by a real server on the private database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender, ServerName
from tests.harness.mariadb import MariaDB
from tests.harness.processes import poll
from tests.harness.servers import AppServer, Serving, gunicorn, uvicorn

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
    site = site_environment(contender, database.database(SCHEMA), pool_size, **settings)
    with serving(server, site) as running:
        yield running
    poll(lambda: not database.process_list(), DISCONNECT_SECONDS)


def site_environment(
    contender: Contender,
    database: Mapping[str, Any],
    pool_size: int | None = None,
    **settings: Any,
) -> dict[str, str]:
    """The environment in which benchmarks.site is *contender*'s, on *database*."""
    site = {**contender.settings(database, pool_size), **settings}
    return {
        "BENCH_SETTINGS": json.dumps(site),
        "DJANGO_SETTINGS_MODULE": "benchmarks.site.settings",
    }


@contextlib.contextmanager
def serving(server: ServerName, site: Mapping[str, str]) -> Iterator[AppServer]:
    """Serve the site of that environment in one process."""
    starting: Serving
    if server == "gunicorn":
        starting = gunicorn(
            "benchmarks.site.wsgi:application",
            threads=GUNICORN_THREADS,
            env=site,
            cwd=ROOT,
            args=QUIET,
        )
    else:
        starting = uvicorn(
            "benchmarks.site.asgi:application", env=site, cwd=ROOT, args=QUIET
        )
    with starting as running:
        try:
            yield running
        finally:
            # In good order it would first work off what nobody waits for any more.
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)
