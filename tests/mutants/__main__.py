"""Mutate the library, and list the mutants that no test notices.

    make mutants                            a sample of 30, by a seed that it prints
    make mutants ARGS="--seed 7 --sample 300"
    make mutants ARGS="--only pool/gate.py request --sample 0"      all of these

The tests are run once before, to see which lines each of them reaches (reach.py); that
is kept in build/reach until `--anew`. Of each mutant those tests are run that reach it,
the likeliest first, in a process that has loaded all (children.py). What an import
executes is changed in a copy of the checkout, too. Survivors meet the tests that
start sites (parts.py), unless `--quick`. It ends with 1 if a mutant survives that is
not written down as equivalent (equivalent.py).
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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from .children import OF_IMPORT, try_all
from .equivalent import EQUIVALENT
from .mutations import Mutant, modules_of, mutants_of
from .parts import CODE, PART, SITES, readers_of, sites_of
from .reach import Reach, record

ROOT = Path(__file__).parent.parent.parent
COPIED = (
    *("pooled_db", "tests", "demo", "benchmarks", "docs"),
    *("README.md", "pyproject.toml"),
)
#: Seconds for all the tests of one mutant. One that makes them hang is noticed.
LONGEST = 400
#: Seconds of the likeliest tests that reach a mutant, which it meets first.
MOST = 60.0
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header")

#: Pytest's exit status if no test is of the part that was asked for.
NOTHING_FOUND = 5

#: How pytest says that there is no test of a name.
GONE = "not found: "

#: The tests that a mutant is still to meet, by part.
Runs = dict[str, list[str]]


def main() -> int:
    options = _parse()
    if options.seed is None:
        options.seed = random.randrange(10**6)
    mutants = [
        mutant
        for module in modules_of(ROOT)
        if _is_chosen(module.removeprefix("pooled_db/"), options.only)
        for mutant in mutants_of(ROOT, module)
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
    if options.anew:
        record(ROOT)
    survivors = _try_all(mutants, Reach.recorded(ROOT), options.workers, options.quick)
    noticed = len(mutants) - len(survivors)
    print(f"{noticed} of {len(mutants)} noticed, {len(survivors)} survived")
    print(*survivors, sep="\n")
    return 1 if survivors else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--seed", type=int, help="of the sample; chosen if not given")
    parser.add_argument("--sample", type=int, default=30, help="how many; 0 for all")
    parser.add_argument("--only", nargs="+", metavar="PATH", help="modules or rooms")
    parser.add_argument(
        "--quick", action="store_true", help="no tests that start sites"
    )
    parser.add_argument("--anew", action="store_true", help="record what tests reach")
    # Tests wait more than they compute.
    parser.add_argument("--workers", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--list", action="store_true", help="run nothing")
    return parser.parse_args()


def _is_chosen(module: str, only: Sequence[str] | None) -> bool:
    return only is None or any(
        module == one or module.startswith(one.rstrip("/") + "/") for one in only
    )


def _try_all(
    mutants: Sequence[Mutant], reach: Reach, workers: int, quick: bool
) -> list[Mutant]:
    first = {mutant: reach.tests_of(mutant, ROOT, MOST) for mutant in mutants}
    said = dict(zip(first, try_all(list(first.items()), workers), strict=True))
    # Nearly all tests reach some lines, and one of the others is about them.
    others = {
        mutant: [
            test
            for test in reach.tests_of(mutant, ROOT, float("inf"))
            if test not in first[mutant]
        ]
        for mutant, by in said.items()
        if not by
    }
    rest = [(mutant, tests) for mutant, tests in others.items() if tests]
    said.update(zip((one for one, _ in rest), try_all(rest, workers), strict=True))
    left: list[tuple[Mutant, Runs]] = []
    for mutant, by in said.items():
        if by == OF_IMPORT or not by:
            of_sites = [] if quick else sites_of(mutant.module)
            # It may be called by an import, or in a module that a test loads again.
            of_code = [*readers_of(mutant.module), *first[mutant]]
            left.append((mutant, {CODE: of_code, SITES: of_sites}))
    copies: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="pooled_db-mutants-") as directory:
        for number in range(workers):
            copies.put(_copy(Path(directory) / str(number)))
        with ThreadPoolExecutor(workers) as threads:
            noticed = threads.map(lambda one: _is_noticed(one[0], one[1], copies), left)
            return [one for (one, _), by in zip(left, noticed, strict=True) if not by]


def _copy(to: Path) -> Path:
    to.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            # With what is compiled, which holds as long as a file keeps its date.
            ignored = shutil.ignore_patterns("results")
            shutil.copytree(source, to / name, ignore=ignored)
        else:
            shutil.copy2(source, to / name)
    return to


def _is_noticed(mutant: Mutant, runs: Runs, copies: SimpleQueue[Path]) -> bool:
    """Whether a test fails with *mutant* in a copy of the checkout."""
    if not any(runs.values()):
        return False
    copy = copies.get()
    by: str | None = None
    try:
        for part, tests in runs.items():
            if by is None and tests:
                by = _noticed_by(mutant, copy, part, tests)
    finally:
        copies.put(copy)
    print(f"{mutant}\n    {f'noticed by {by}' if by else 'SURVIVED'}", flush=True)
    return by is not None


def _noticed_by(
    mutant: Mutant, copy: Path, part: str, tests: Sequence[str]
) -> str | None:
    """The first of *tests* that fails each time with *mutant*, and not without."""
    tests = list(tests)
    left_out: list[str] = []
    while True:
        with _applied(mutant, copy):
            failed = _first_failure(copy, part, [*tests, *left_out])
            if failed is None:
                return None
            if failed.startswith(GONE):
                left = list(_there(tests, failed))
                if left == tests:
                    return None
                tests = left
                continue
            alone = [failed] if "::" in failed else [*tests, *left_out]
            again = _first_failure(copy, part, alone)
        without = _first_failure(copy, part, alone)
        # A test can have the number in its name that the mutant changes.
        if again and (without is None or without.startswith(GONE)):
            return failed
        if "::" not in failed:
            return None
        left_out.append(f"--deselect={failed}")


def _there(tests: Sequence[str], gone: str) -> Iterator[str]:
    """Those of *tests* that may be there still, which have been recorded.

    Pytest says by *gone* that there is none of a function with such parameters, and
    names the function alone. With all of its parameters it is asked for then.
    """
    for test in dict.fromkeys(tests):
        function = test.partition("[")[0]
        if not gone.endswith(f"/{function}"):
            yield test
        elif function != test and function not in tests:
            yield function


@contextlib.contextmanager
def _applied(mutant: Mutant, copy: Path) -> Iterator[None]:
    mutant.apply(copy)
    try:
        yield
    finally:
        shutil.copy2(ROOT / mutant.module, copy / mutant.module)


def _first_failure(copy: Path, part: str, tests: Sequence[str]) -> str | None:
    """The test that fails, or why none can be named."""
    plugin = ("-p", "tests.mutants.parts")
    command = [sys.executable, "-B", "-m", "pytest", *PYTEST, *plugin, *tests]
    process = subprocess.Popen(
        command,
        cwd=copy,
        env={**os.environ, PART: part},
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
    if process.returncode in (0, NOTHING_FOUND):
        return None
    failures = [
        line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))
    ]
    if not failures:
        return f"pytest's exit status {process.returncode}"
    return failures[0].partition(" ")[2].partition(" - ")[0]


if __name__ == "__main__":
    sys.exit(main())
