"""Tries mutants in forked children of one pytest, which has collected all tests.

This module is a plugin of pytest. The file that `TASK` names has the mutants and the
tests of each. A child exchanges the code of the functions that its mutant changes, and
runs the tests until one fails. So a mutant costs what its tests cost, and leaves
nothing behind.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests import database_server

from .mutations import Mutant
from .parts import CODE, PART

TASK = "MUTANTS_TASK"
#: Seconds for all the tests of one mutant. One that makes them hang is noticed.
LONGEST = 120.0
TOO_LONG = "taking too long"
#: What a child says if no function has the code that is to be changed.
OF_IMPORT = "of an import"
ROOT = Path(__file__).parent.parent.parent


def try_all(entries: Sequence[tuple[Mutant, Sequence[str]]]) -> list[str]:
    """By which of its tests each mutant is noticed; nothing if by none."""
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
    said = []
    for entry in json.loads(task.read_text()):
        mutant = Mutant(**entry["mutant"])
        tests = [items[name] for name in entry["tests"] if name in items]
        said.append(_in_child(mutant, tests))
        print(f"{mutant}\n    {said[-1] or f'not by {len(tests)} tests'}", flush=True)
    task.with_suffix(".said").write_text(json.dumps(said))
    return True


def _in_child(mutant: Mutant, tests: Sequence[pytest.Item]) -> str:
    """What a child says: the test that fails, or nothing."""
    database_server.SERVER.hang_up()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            os.close(reading)
            os.write(writing, _try(mutant, tests).encode())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        answered, _, _ = select.select([reading], [], [], LONGEST)
        return os.read(reading, 1000).decode() if answered else TOO_LONG
    finally:
        os.close(reading)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _try(mutant: Mutant, tests: Sequence[pytest.Item]) -> str:
    try:
        changed = put_in(mutant)
    except (SyntaxError, ValueError):
        changed = 0
    if not changed:
        return OF_IMPORT
    for item, following in zip(tests, [*tests[1:], None], strict=False):
        reports = runtestprotocol(item, log=False, nextitem=following)
        if any(report.failed for report in reports):
            return item.nodeid
    return ""


def put_in(mutant: Mutant) -> int:
    """Exchange the code of the functions that *mutant* changes; how many there were."""
    path = str(ROOT / mutant.module)
    text = Path(path).read_bytes()
    # As many lines as before, so that what follows stays where it is.
    lines = text.count(b"\n", mutant.start, mutant.end)
    after = mutant.after.encode() + b"\\\n" * lines
    mutated = text[: mutant.start] + after + text[mutant.end :]
    gc.unfreeze()
    found = [one for one in gc.get_objects() if type(one) is FunctionType]
    ours = [one for one in found if one.__code__.co_filename == path]
    count = 0
    for old, new in _changed(_compiled(text, path), _compiled(mutated, path)):
        for function in ours:
            if function.__code__ == old:
                function.__code__ = new
                count += 1
    _forget_results()
    gc.freeze()
    return count


def _compiled(text: bytes, path: str) -> CodeType:
    return compile(text, path, "exec", dont_inherit=True)


def _changed(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    if old == new:
        return
    yield old, new
    inner = [
        [one for one in code.co_consts if isinstance(one, CodeType)]
        for code in (old, new)
    ]
    yield from (
        pair for pairs in zip(*inner, strict=False) for pair in _changed(*pairs)
    )


def _forget_results() -> None:
    """Nothing that was computed before the change is to pass for its result."""
    for one in gc.get_objects():
        # isinstance() would ask what is lazy for its class.
        if type(one) is functools._lru_cache_wrapper:
            wrapped: Any = one.__wrapped__
            if str(getattr(wrapped, "__module__", "")).startswith("pooled_db"):
                one.cache_clear()
