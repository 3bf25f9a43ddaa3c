"""Compare the backends: python -m tests.django_suite [--hold H] [--all | LABEL...]"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import database_server
from tests.harness.mariadb import MariaDB
from tests.harness.server import Server

from .comparison import Incomplete, Outcomes, read, report
from .recording import OUTCOMES
from .settings import DATABASES_VARIABLE
from .source import CACHE, tests_folder
from .time_zones import load_time_zones

PLAIN = "django.db.backends.mysql"
POOLED = "pooled_db.backends.mysql"

#: What has to do with connections, transactions and requests.
LABELS = (
    "asgi",
    "async",
    "backends",
    "db_utils",
    "handlers",
    "middleware",
    "middleware_exceptions",
    "multiple_database",
    "queries",
    "requests_tests",
    "select_for_update",
    "servers",
    "test_client",
    "test_utils",
    "transaction_hooks",
    "transactions",
)


def main() -> int:
    options = _options()
    labels = () if options.all else options.labels
    server = database_server.start()
    if isinstance(server, MariaDB):
        load_time_zones(server)
    try:
        plain, pooled = run_both(server, labels, options.hold)
    except Incomplete as error:
        print(error)
        return 1
    text, alike = report(plain, pooled)
    print(text)
    return 0 if alike else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.django_suite",
        description="Run Django's own tests on its MySQL backend, then on pooled_db's, "
        "and compare test by test.",
    )
    parser.add_argument("labels", nargs="*", metavar="LABEL", default=LABELS)
    parser.add_argument("--all", action="store_true", help="the whole suite")
    parser.add_argument("--hold", choices=["request", "transaction"], default="request")
    return parser.parse_args()


def run_both(server: Server, labels: Sequence[str], hold: str) -> list[Outcomes]:
    """Run Django's tests on both engines at once. Raises Incomplete."""
    engines = (PLAIN, POOLED)
    folder = tests_folder()
    print(f"Running; {CACHE.name}/*.log shows how far it is.", flush=True)
    with ThreadPoolExecutor() as threads:
        for log in threads.map(
            lambda engine: run(engine, server, labels, folder, hold), engines
        ):
            print(f"\n{log.stem}\n{log.read_text()}")
    return [read(outcomes_of(engine)) for engine in engines]


def outcomes_of(engine: str) -> Path:
    return CACHE / f"{engine}.jsonl"


def run(
    engine: str,
    server: Server,
    labels: Sequence[str],
    folder: Path,
    hold: str,
) -> Path:
    """Run Django's tests on *engine*; the log of it."""
    outcomes = outcomes_of(engine)
    outcomes.unlink(missing_ok=True)
    name = engine.partition(".")[0]
    databases = {
        alias: {"ENGINE": engine, **server.database(f"{name}_{alias}")}
        for alias in ("default", "other")
    }
    if engine == POOLED and hold != "request":
        for database in databases.values():
            database["OPTIONS"] = {
                **database.get("OPTIONS", {}),
                "pool": {"hold": hold},
            }
    options = ["--settings=tests.django_suite.settings", "--parallel=1", "--buffer"]
    log = CACHE / f"{engine}.log"
    with log.open("w") as output:
        subprocess.run(
            [sys.executable, "runtests.py", "--noinput", *options, *labels],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(CACHE.parent),
                DATABASES_VARIABLE: json.dumps(databases),
                OUTCOMES: str(outcomes),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return log


if __name__ == "__main__":
    sys.exit(main())
