"""The ticket sale, served by a real server on a schema of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.mariadb import MariaDB
from tests.harness.servers import AppServer, gunicorn, uvicorn

ROOT = Path(__file__).parents[1]

MAX_CONNECTIONS = 30
WORKERS, THREADS = 2, 128
WORK_SECONDS = 0.15
TICKETS_PER_EVENT = 10_000
EVENT_IDS = range(1, 9)


@dataclass(frozen=True, slots=True)
class Backend:
    title: str
    engine: str
    schema: str


PLAIN = Backend("Django alone", "django.db.backends.mysql", "demo_plain")
POOLED = Backend("pooled_db", "pooled_db.backends.mysql", "demo_pooled")


@contextmanager
def private_database() -> Iterator[MariaDB]:
    with MariaDB(max_connections=MAX_CONNECTIONS) as database:
        yield database


@contextmanager
def served(
    database: MariaDB, backend: Backend, *, asgi: bool = False
) -> Iterator[AppServer]:
    """Open the sale on *backend* and serve it: by gunicorn, or with *asgi* uvicorn."""
    env = environment(database, backend)
    manage(env, "migrate", "--verbosity=0")
    manage(env, "open_sale", f"--tickets={TICKETS_PER_EVENT}", "--verbosity=0")
    if asgi:
        server = uvicorn(
            "demo.asgi:application",
            env=env,
            cwd=ROOT,
            args=["--workers", str(WORKERS), "--log-level", "warning"],
        )
    else:
        server = gunicorn(
            "demo.wsgi:application",
            workers=WORKERS,
            threads=THREADS,
            env=env,
            cwd=ROOT,
            args=["--log-level", "warning"],
        )
    with server as running:
        yield running


def environment(database: MariaDB, backend: Backend) -> dict[str, str]:
    """What `demo/settings.py` reads."""
    address = database.database(backend.schema)
    return {
        **{f"DEMO_DB_{key}": str(value) for key, value in address.items()},
        "DEMO_ENGINE": backend.engine,
        "DEMO_WORK_SECONDS": str(WORK_SECONDS),
        "DJANGO_SETTINGS_MODULE": "demo.settings",
    }


def manage(env: dict[str, str], *command: str) -> None:
    subprocess.run(
        [sys.executable, "demo/manage.py", *command],
        cwd=ROOT,
        env=os.environ | env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
