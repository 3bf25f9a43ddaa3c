"""Tries mutants in forked children of one pytest, which has collected all tests.

This module is a plugin of pytest. The file that `TASK` names has the mutants and the
tests of each. A child exchanges the code of the functions that its mutant changes, and
runs the tests until one fails. So a mutant costs what its tests cost, and leaves
nothing behind. A test may fail for want of time as well: only that which fails again,
and passes without the mutant, has noticed it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from django.db.models.signals import post_migrate

from tests import database_server

from .exchange import Loaded
from .mutations import Mutant
from .parts import CODE, PART
from .reach import seconds_recorded

TASK = "MUTANTS_TASK"
#: Seconds for one test. A mutant that makes it hang is noticed.
LONGEST = 120.0
#: And of the processor's time, besides twice what it took when it was recorded: a loop
#: that does not end uses it up, however busy the machine is.
MOST_WORK = 8
#: What a child says if no function has the code that is to be changed.
OF_IMPORT = "of an import"
ROOT = Path(__file__).parent.parent.parent
#: The tests that have been seen to pass in a child without a mutant.
_sound: set[str] = set()
#: Of the tests of a child.
_reports: list[pytest.TestReport] = []


def try_all(entries: Sequence[tuple[Mutant, Sequence[str]]], workers: int) -> list[str]:
    """By which of its tests each mutant is noticed; nothing if by none."""
    # Neighbours have the same tests, so each worker gets as much to do.
    shares = [entries[number::workers] for number in range(workers)]
    with ThreadPoolExecutor(workers) as threads:
        said = [iter(one) for one in threads.map(_try_share, shares)]
    return [next(said[number % workers]) for number in range(len(entries))]


def _try_share(entries: Sequence[tuple[Mutant, Sequence[str]]]) -> list[str]:
    files = sorted({test.partition("::")[0] for _, tests in entries for test in tests})
    if not files:
        return [OF_IMPORT] * len(entries)
    plugins = ("tests.mutants.parts", "tests.mutants.children", "no:randomly")
    with tempfile.TemporaryDirectory() as directory:
        task = Path(directory) / "task.json"
        told = [{"mutant": asdict(one), "tests": list(tests)} for one, tests in entries]
        task.write_text(json.dumps(told))
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(f"-p{plugin}" for plugin in plugins),
                # Each child makes the test database anew.
                "--nomigrations",
                *files,
            ],
            cwd=ROOT,
            env={**os.environ, PART: CODE, TASK: str(task)},
            check=True,
        )
        said: list[str] = json.loads(task.with_suffix(".said").read_text())
    return said


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    task = Path(os.environ[TASK])
    items = {item.nodeid: item for item in session.items}
    database_server.start()
    # Whenever a test's tables are emptied, Django would make all permissions again.
    post_migrate.receivers.clear()
    post_migrate.sender_receivers_cache.clear()
    loaded = Loaded(ROOT)
    said = []
    for entry in json.loads(task.read_text()):
        mutant = Mutant(**entry["mutant"])
        tests = [items[name] for name in entry["tests"] if name in items]
        said.append(_noticed_by(mutant, tests, loaded))
        print(f"{mutant}\n    {said[-1] or f'not by {len(tests)} tests'}", flush=True)
    task.with_suffix(".said").write_text(json.dumps(said))
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _reports.append(report)


def _noticed_by(mutant: Mutant, tests: Sequence[pytest.Item], loaded: Loaded) -> str:
    """The first of *tests* that notices *mutant*; `OF_IMPORT`, or nothing."""
    while (failed := _in_child(mutant, tests, loaded)) not in ("", OF_IMPORT):
        at = [item.nodeid for item in tests].index(failed)
        alone = tests[at : at + 1]
        if _in_child(mutant, alone, loaded) and not _fails_by_itself(alone[0], loaded):
            return failed
        tests = tests[at + 1 :]
    return failed


def _fails_by_itself(item: pytest.Item, loaded: Loaded) -> bool:
    if item.nodeid not in _sound:
        if _in_child(None, [item], loaded):
            return True
        _sound.add(item.nodeid)
    return False


def _in_child(
    mutant: Mutant | None, tests: Sequence[pytest.Item], loaded: Loaded
) -> str:
    """Which test fails first, or hangs, in a child; `OF_IMPORT`, or nothing."""
    database_server.SERVER.hang_up()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            os.close(reading)
            _try(mutant, tests, loaded, writing)
            # Children of its own may have the pipe open still.
            os.write(writing, b"\0")
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    try:
        while select.select([reading], [], [], LONGEST)[0]:
            more = os.read(reading, 10_000)
            said += more
            if not more or said.endswith(b"\0"):
                break
    finally:
        os.close(reading)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not said:
        raise RuntimeError(f"no test was begun with {mutant}")
    # A child that has died, or hangs, does so in the test that it began last.
    *_, last, _ = ["", *said.decode().split("\n")]
    return last


def _try(
    mutant: Mutant | None, tests: Sequence[pytest.Item], loaded: Loaded, told: int
) -> None:
    """Tell a line for each test as it begins, and an empty one if none has failed."""
    try:
        changed = mutant is None or loaded.put_in(mutant)
    except (SyntaxError, ValueError):
        changed = 0
    if not changed:
        os.write(told, f"{OF_IMPORT}\n".encode())
        return
    seconds = seconds_recorded(ROOT)
    if tests:  # what becomes of them is told otherwise
        tests[0].config.pluginmanager.unregister(name="terminalreporter")
    for item, following in zip(tests, [*tests[1:], None], strict=False):
        os.write(told, f"{item.nodeid}\n".encode())
        work = MOST_WORK + 2 * seconds.get(item.nodeid, 0.0)
        limit = int(time.process_time() + work)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        # With all that is around a test, such as the warnings that it may cause.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if any(report.failed for report in _reports):
            return
    os.write(told, b"\n")
