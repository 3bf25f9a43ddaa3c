"""Compare the backends by other packages' suites: make test-packages.

The suites come out of the packages' source distributions, and run in an environment of
their own below .django. django-mysql is not among them: its distribution has no tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests import database_server
from tests.django_suite import recording
from tests.django_suite.comparison import Incomplete, Outcomes, read, report
from tests.harness.server import Server

ROOT = Path(__file__).parents[2]
HERE = ROOT / ".django" / "packages"
INSIDE = Path(__file__).parent / "inside"
BIN = HERE / "venv" / "bin"
ENGINES = ("django.db.backends.mysql", "pooled_db.backends.mysql")


@dataclass(frozen=True)
class Suite:
    package: str
    needs: tuple[str, ...]
    command: tuple[str, ...]


SUITES = {
    "rest": Suite(
        "djangorestframework",
        ("dj-database-url", "pytest>=9", "pytest-django"),
        ("pytest", "-p", "suite_of_others", "-p", "no:cacheprovider", "-q", "tests"),
    ),
    "wagtail": Suite(
        "wagtail",
        (
            *("Jinja2", "azure-identity", "azure-mgmt-cdn", "boto3", "factory-boy"),
            *("django-pattern-library", "freezegun", "responses", "tblib"),
        ),
        (
            *("django", "test", "--settings=wagtail_on_mysql", "--noinput"),
            *("--buffer", "wagtail.snippets", "wagtail.documents"),
            "wagtail.contrib.redirects",
        ),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.packages")
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], metavar="SUITE")
    names = parser.parse_args().suites or list(SUITES)
    server = database_server.start()
    different = 0
    for name in names:
        suite = SUITES[name]
        folder = _unpacked(suite)
        with ThreadPoolExecutor() as threads:
            runs = threads.map(
                lambda engine, suite=suite, folder=folder: _run(
                    suite, folder, server, engine
                ),
                ENGINES,
            )
            try:
                plain, pooled = runs
            except Incomplete as error:
                print(f"{name}: {error} See {HERE}/*.log.")
                return 1
        text, alike = report(plain, pooled)
        print(f"\n{folder.name}\n{text}", flush=True)
        different += not alike
    return 1 if different else 0


def _unpacked(suite: Suite) -> Path:
    """Return the folder with the package's source; the first call gets it."""
    HERE.mkdir(parents=True, exist_ok=True)
    if not BIN.exists():
        _call([sys.executable, "-m", "venv", str(HERE / "venv")])
    wanted = suite.package
    pip = [str(BIN / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _call([*pip, "install", "-e", str(ROOT), wanted, *suite.needs])
    if not (found := sorted(HERE.glob(f"{wanted}-*/"))):
        options = [f"--no-binary={wanted}", "--no-deps", f"--dest={HERE}"]
        _call([*pip, "download", *options, wanted])
        (archive,) = HERE.glob(f"{wanted}-*.tar.gz")
        with tarfile.open(archive) as source:
            source.extraction_filter = tarfile.data_filter
            source.extractall(HERE)
        found = sorted(HERE.glob(f"{wanted}-*/"))
    return found[-1]


def _call(command: Sequence[str]) -> None:
    print("Running:", *command[:6], "...", flush=True)
    subprocess.run(command, check=True)


def _run(suite: Suite, folder: Path, server: Server, engine: str) -> Outcomes:
    name = engine.partition(".")[0]
    outcomes = HERE / f"{suite.package}-{name}.jsonl"
    outcomes.unlink(missing_ok=True)
    databases = {
        alias: {"ENGINE": engine, **server.database(f"{name}_{alias}")}
        for alias in ("default", "secondary")
    }
    env = {
        **os.environ,
        "PYTHONPATH": f"{INSIDE}:{folder}",
        "SUITE_DATABASES": json.dumps(databases),
        "SUITE_RECORDING": recording.__file__,
        recording.OUTCOMES: str(outcomes),
    }
    env.pop("DJANGO_SETTINGS_MODULE", None)
    with (HERE / f"{suite.package}-{name}.log").open("w") as log:
        subprocess.run(
            [str(BIN / "python"), "-m", *suite.command],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return read(outcomes)


if __name__ == "__main__":
    sys.exit(main())
