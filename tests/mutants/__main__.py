"""Mutate the library, and list the mutants that no test notices.

    make mutants                            a sample of 30, by a seed that it prints
    make mutants ARGS="--seed 7 --sample 300"
    make mutants ARGS="--only pool/gate.py --sample 0"      all of one module

Each mutant gets a copy of the checkout and the tests that can see its module
(sight.py), until one fails. It ends with 1 if a mutant has survived that is not written
down as equivalent (equivalent.py).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from .equivalent import EQUIVALENT
from .mutations import Mutant, mutants_of
from .sight import SIGHT

ROOT = Path(__file__).parent.parent.parent
COPIED = ("pooled_db", "tests", "demo", "benchmarks", "pyproject.toml", "setup.py")
#: Seconds for all the tests of one mutant. One that makes them hang is noticed.
LONGEST = 400
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header")


def main() -> int:
    options = _parse()
    if options.seed is None:
        options.seed = random.randrange(10**6)
    mutants = [
        mutant
        for module in options.only or SIGHT
        for mutant in mutants_of(ROOT, f"pooled_db/{module}")
        if mutant.key not in EQUIVALENT
    ]
    total = len(mutants)
    if options.sample:
        chosen = random.Random(options.seed).sample(mutants, min(total, options.sample))
        mutants = sorted(chosen, key=str)
    print(f"{len(mutants)} of {total} mutants, seed {options.seed}", flush=True)
    if options.list:
        print(*mutants, sep="\n")
        return 0
    survivors = _try_all(mutants, options.workers)
    noticed = len(mutants) - len(survivors)
    print(f"{noticed} of {len(mutants)} noticed, {len(survivors)} survived")
    print(*survivors, sep="\n")
    return 1 if survivors else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--seed", type=int, help="of the sample; chosen if not given")
    parser.add_argument("--sample", type=int, default=30, help="how many; 0 for all")
    parser.add_argument("--only", nargs="+", metavar="MODULE", choices=sorted(SIGHT))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="run nothing")
    return parser.parse_args()


def _try_all(mutants: Sequence[Mutant], workers: int) -> list[Mutant]:
    copies: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="pooled_db-mutants-") as directory:
        for number in range(workers):
            copies.put(_copy(Path(directory) / str(number)))
        with ThreadPoolExecutor(workers) as threads:
            noticed = threads.map(lambda mutant: _try(mutant, copies), mutants)
            return [one for one, seen in zip(mutants, noticed, strict=True) if not seen]


def _copy(to: Path) -> Path:
    to.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "results")
            shutil.copytree(source, to / name, ignore=ignored)
        else:
            shutil.copy(source, to / name)
    return to


def _try(mutant: Mutant, copies: SimpleQueue[Path]) -> bool:
    """Whether a test fails with *mutant*."""
    copy = copies.get()
    begun = time.monotonic()
    try:
        mutant.apply(copy)
        module = mutant.module.removeprefix("pooled_db/")
        by = _first_failure(copy, [f"tests/{name}" for name in _tests_of(module)])
    finally:
        shutil.copy(ROOT / mutant.module, copy / mutant.module)
        copies.put(copy)
    seconds = time.monotonic() - begun
    print(f"{'SURVIVED' if by is None else 'noticed '} {seconds:4.0f} s  {mutant}")
    print(
        f"                  by {by}" if by else "", end="\n" if by else "", flush=True
    )
    return by is not None


def _tests_of(module: str) -> list[str]:
    return list(dict.fromkeys(SIGHT[module]))


def _first_failure(copy: Path, tests: Sequence[str]) -> str | None:
    command = [sys.executable, "-B", "-m", "pytest", *PYTEST, *tests]
    process = subprocess.Popen(
        command,
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "taking too long"
    if process.returncode == 0:
        return None
    failures = [
        line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))
    ]
    return failures[0] if failures else f"pytest's exit status {process.returncode}"


if __name__ == "__main__":
    sys.exit(main())
