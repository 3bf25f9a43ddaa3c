"""Compare the backends: python -m tests.django_suite [--all | LABEL...]"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence

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
    labels = _labels()
    server = database_server.start()
    if isinstance(server, MariaDB):
        load_time_zones(server)
    try:
        plain = run(PLAIN, server, labels)
        pooled = run(POOLED, server, labels)
    except Incomplete as error:
        print(error)
        return 1
    text, alike = report(plain, pooled)
    print(text)
    return 0 if alike else 1


def _labels() -> Sequence[str]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.django_suite",
        description="Run Django's own tests on its MySQL backend, then on pooled_db's, "
        "and compare test by test.",
    )
    parser.add_argument("labels", nargs="*", metavar="LABEL", default=LABELS)
    parser.add_argument("--all", action="store_true", help="the whole suite")
    options = parser.parse_args()
    return () if options.all else options.labels


def run(engine: str, server: Server, labels: Sequence[str]) -> Outcomes:
    """Run Django's tests on *engine*. Raises Incomplete."""
    folder = tests_folder()
    outcomes = CACHE / f"{engine}.jsonl"
    outcomes.unlink(missing_ok=True)
    databases = {
        alias: {"ENGINE": engine, **server.database(f"django_{alias}")}
        for alias in ("default", "other")
    }
    print(f"\n{engine}", flush=True)
    options = ["--settings=tests.django_suite.settings", "--parallel=1", "--buffer"]
    subprocess.run(
        [sys.executable, "runtests.py", "--noinput", *options, *labels],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(CACHE.parent),
            DATABASES_VARIABLE: json.dumps(databases),
            OUTCOMES: str(outcomes),
        },
        check=False,
    )
    return read(outcomes)


if __name__ == "__main__":
    sys.exit(main())
