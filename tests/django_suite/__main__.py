"""Compare the backends: python -m tests.django_suite [OPTION...] [--all | LABEL...]

The usual order hides what an idle connection would show that was lent in another one:
hence --shuffle, --reverse and --apart, and --pool-size=1, with which each test gets the
connection of the test before it. What it needs at once besides is opened for it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests import database_server
from tests.harness.mariadb import MariaDB
from tests.harness.server import Server

from .comparison import Incomplete, Outcomes, find_unsteady, read, report
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
    alike = True
    for part in [[label] for label in labels] if options.apart else [labels]:
        try:
            text, part_alike = compare(server, part, options)
        except Incomplete as error:
            print(error)
            return 1
        print(text, flush=True)
        alike &= part_alike
    return 0 if alike else 1


def compare(
    server: Server, labels: Sequence[str], options: argparse.Namespace
) -> tuple[str, bool]:
    """Run them on both engines: what there is to say, and whether they are alike.

    What differs is run again, on both at once as before. Raises Incomplete.
    """

    def both(labels: Sequence[str], order: Iterator[str]) -> Sequence[Outcomes]:
        return run_both(server, labels, order, _pool(options))

    def again(tests: list[str]) -> Outcomes:
        try:
            return both(tests, iter(()))[0]
        except Incomplete:
            return {}  # what differs is to be told all the same

    plain, pooled = both(labels, _order(options))
    return report(plain, pooled, find_unsteady(plain, pooled, again))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.django_suite",
        description="Run Django's own tests on its MySQL backend, then on pooled_db's, "
        "and compare test by test.",
    )
    parser.add_argument("labels", nargs="*", metavar="LABEL", default=LABELS)
    parser.add_argument("--all", action="store_true", help="the whole suite")
    parser.add_argument("--hold", choices=["request", "transaction"])
    parser.add_argument(
        "--pool-size", type=int, help="how many connections each pool keeps"
    )
    parser.add_argument("--apart", action="store_true", help="label by label")
    parser.add_argument("--reverse", action="store_true", help="the last test first")
    parser.add_argument(
        "--shuffle",
        nargs="?",
        type=int,
        const=random.randrange(10**6),
        metavar="SEED",
        help="in an order made of a seed; Django prints it",
    )
    return parser.parse_args()


def _order(options: argparse.Namespace) -> Iterator[str]:
    if options.shuffle is not None:
        yield f"--shuffle={options.shuffle}"
    if options.reverse:
        yield "--reverse"


#: More connections than any of the tests needs at once.
ENOUGH = 10


def _pool(options: argparse.Namespace) -> dict[str, Any]:
    given = {"hold": options.hold, "pool_size": options.pool_size}
    if options.pool_size is not None:
        given["max_overflow"] = max(0, ENOUGH - options.pool_size)
    return {name: value for name, value in given.items() if value is not None}


def run_both(
    server: Server, labels: Sequence[str], order: Iterator[str], pool: dict[str, Any]
) -> list[Outcomes]:
    """Run Django's tests on both engines at once. Raises Incomplete."""
    engines = (PLAIN, POOLED)
    folder = tests_folder()
    arguments = [*order, *labels]
    print(f"Running; {CACHE.name}/*.log shows how far it is.", flush=True)
    with ThreadPoolExecutor() as threads:
        for log in threads.map(
            lambda engine: run(engine, server, arguments, folder, pool), engines
        ):
            print(f"\n{log.stem}\n{log.read_text()}")
    return [read(outcomes_of(engine)) for engine in engines]


def outcomes_of(engine: str) -> Path:
    return CACHE / f"{engine}.jsonl"


def run(
    engine: str,
    server: Server,
    arguments: Sequence[str],
    folder: Path,
    pool: dict[str, Any],
) -> Path:
    """Run Django's tests on *engine*; the log of it."""
    outcomes = outcomes_of(engine)
    outcomes.unlink(missing_ok=True)
    name = engine.partition(".")[0]
    databases = {
        alias: {"ENGINE": engine, **server.database(f"{name}_{alias}")}
        for alias in ("default", "other")
    }
    if engine == POOLED and pool:
        for database in databases.values():
            database["OPTIONS"] = {
                **database.get("OPTIONS", {}),
                "pool": pool,
            }
    options = ["--settings=tests.django_suite.settings", "--parallel=1", "--buffer"]
    log = CACHE / f"{engine}.log"
    with log.open("w") as output:
        subprocess.run(
            [sys.executable, "runtests.py", "--noinput", *options, *arguments],
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
