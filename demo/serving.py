"""The ticket sale on each backend, served by a real server on a schema of its own."""

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

#: What the server allows. The pools of all workers have as many together.
MAX_CONNECTIONS = 30
WORKERS, THREADS = 2, 128
TICKETS_PER_EVENT = 10_000
#: Who may see the dashboard of a staged site.
STAFF = "demo"
EVENT_IDS = range(1, 9)


@dataclass(frozen=True, slots=True)
class Backend:
    title: str
    engine: str
    schema: str


PLAIN = Backend("Django alone", "django.db.backends.mysql", "demo_plain")
DJ_POOL = Backend(
    "django-db-connection-pool", "dj_db_conn_pool.backends.mysql", "demo_dj_pool"
)
POOLED = Backend("pooled_db", "pooled_db.backends.mysql", "demo_pooled")
BACKENDS = (PLAIN, DJ_POOL, POOLED)


@dataclass(frozen=True, slots=True)
class Serving:
    """How a site is served.

    A purchase sleeps *work_seconds* in the database. A *staged* site may be framed,
    and has an admin and the dashboard, which shows the processes of its *state_dir*.
    """

    work_seconds: float
    asgi: bool = False
    workers: int = WORKERS
    threads: int = THREADS
    staged: bool = False
    state_dir: str = ""

    @property
    def title(self) -> str:
        if self.asgi:
            return f"{self.workers} uvicorn workers"
        return f"{self.workers} gunicorn workers with {self.threads} threads each"


@contextmanager
def private_database() -> Iterator[MariaDB]:
    with MariaDB(max_connections=MAX_CONNECTIONS) as database:
        yield database


@contextmanager
def served(
    database: MariaDB, backend: Backend, serving: Serving
) -> Iterator[AppServer]:
    """Open the sale on *backend* and serve it."""
    env = environment(database, backend, serving)
    manage(env, "open_sale", f"--tickets={TICKETS_PER_EVENT}", "--verbosity=0")
    quiet = ["--log-level", "warning"]
    if serving.asgi:
        server = uvicorn(
            "demo.asgi:application",
            env=env,
            cwd=ROOT,
            args=["--workers", str(serving.workers), *quiet],
        )
    else:
        server = gunicorn(
            "demo.wsgi:application",
            workers=serving.workers,
            threads=serving.threads,
            env=env,
            cwd=ROOT,
            args=quiet,
        )
    with server as running:
        yield running


def environment(
    database: MariaDB, backend: Backend, serving: Serving
) -> dict[str, str]:
    """What `demo/settings.py` reads."""
    address = database.database(backend.schema)
    return {
        **{f"DEMO_DB_{key}": str(value) for key, value in address.items()},
        "DEMO_ENGINE": backend.engine,
        "DEMO_POOL_SIZE": str(MAX_CONNECTIONS // serving.workers),
        "DEMO_WORK_SECONDS": str(serving.work_seconds),
        "DEMO_STAGED": "1" if serving.staged else "",
        "DEMO_STATE_DIR": serving.state_dir,
        "DJANGO_SETTINGS_MODULE": "demo.watched" if serving.staged else "demo.settings",
    }


def make_staff(database: MariaDB, backend: Backend, serving: Serving) -> None:
    """Make the superuser `STAFF`, whose password is the same word."""
    env = environment(database, backend, serving)
    env["DJANGO_SUPERUSER_PASSWORD"] = STAFF
    options = (f"--username={STAFF}", "--email=demo@example.com", "--verbosity=0")
    manage(env, "createsuperuser", "--noinput", *options)


def manage(env: dict[str, str], *command: str) -> None:
    subprocess.run(
        [sys.executable, "demo/manage.py", *command],
        cwd=ROOT,
        env=os.environ | env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
