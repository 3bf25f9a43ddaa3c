"""Which tests reach which line: they are run once, and coverage.py tells."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coverage import CoverageData
from typing_extensions import Self

from .mutations import Mutant
from .parts import CODE, IN_PROCESS, PART, SECONDS

RECORD = "build/reach"


@dataclass(frozen=True)
class Reach:
    """By module the tests that reach each line, and how many seconds each takes."""

    lines: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]
    #: How many lines each test reaches.
    reaches: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def recorded(cls, root: Path) -> Self:
        """What was recorded last; all tests are run if nothing was."""
        folder = root / RECORD
        if not (folder / SECONDS).exists():
            record(root)
        data = CoverageData(str(folder / ".coverage"))
        data.read()
        lines = {
            str(Path(file).relative_to(root)): {
                line: frozenset(_tests(contexts))
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        reaches = Counter(
            test
            for tests_by_line in lines.values()
            for tests in tests_by_line.values()
            for test in tests
        )
        return cls(lines, seconds_recorded(root), reaches)

    def tests_of(self, mutant: Mutant, root: Path, most: float) -> list[str]:
        """The tests that reach *mutant*, the most likely first, for *most* seconds.

        Those that reach the very line, as of a function without a name, come first, and
        those that need a server last: each child makes the test database anew. Of the
        others, a test that reaches little is about what it reaches.
        """
        reached = self.lines.get(mutant.module, {})
        tree = ast.parse((root / mutant.module).read_bytes())
        found: set[str] = set()
        # Not all lines are told, a `continue` not always: what is around it, then.
        for lines in reversed(_lines_of(tree, mutant.line)):
            found = found.union(*(reached[line] for line in reached if line in lines))
            if found:
                break
        here = reached.get(mutant.line, frozenset())

        def how_unlikely(test: str) -> tuple[object, ...]:
            of_server = test.startswith("tests/server/")
            reaches = self.reaches.get(test, 0)
            return (test not in here, of_server, reaches, self.seconds[test], test)

        chosen, spent = [], 0.0
        for test in sorted(found & self.seconds.keys(), key=how_unlikely):
            if spent + self.seconds[test] <= most:
                spent += self.seconds[test]
                chosen.append(test)
        return chosen


def seconds_recorded(root: Path) -> dict[str, float]:
    """How long each test took that has passed."""
    seconds: dict[str, float] = json.loads((root / RECORD / SECONDS).read_text())
    return seconds


def record(root: Path) -> None:
    """Run the tests of this process's code, and keep what they reach."""
    folder = root / RECORD
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "coverage.ini"
    configuration.write_text("[run]\nsource = pooled_db\n")
    print("The tests are run once, to see what each reaches.", flush=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:randomly"),
            *("-p", "tests.mutants.parts", "--cov", f"--cov-config={configuration}"),
            *("--cov-context=test", "--cov-report=", *IN_PROCESS),
        ],
        cwd=root,
        env={**os.environ, PART: CODE, "COVERAGE_FILE": str(folder / ".coverage")},
        check=False,
    )


def _tests(contexts: list[str]) -> Iterator[str]:
    for context in contexts:
        test, _, phase = context.rpartition("|")
        if phase in ("setup", "run", "teardown"):
            yield test


def _lines_of(tree: ast.Module, line: int) -> list[range]:
    """The lines of the statement at *line*, after those of what is around it.

    What is executed by an import, such as a constant, stands for the lines of the
    function, class or module that it belongs to.
    """
    within: ast.AST = tree
    found = [range(1, 10**9)]
    in_function = False
    while True:
        inner = [
            one
            for one in ast.iter_child_nodes(within)
            if isinstance(one, (ast.stmt, ast.excepthandler, ast.match_case))
            and _first(one) <= line <= _last(one)
        ]
        if not inner:
            return found
        within = inner[0]
        if isinstance(within, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            in_function = not isinstance(within, ast.ClassDef)
            found = [range(within.body[0].lineno, _last(within) + 1)]
        elif in_function:
            body = getattr(within, "body", None)
            last = body[0].lineno - 1 if body else _last(within)
            found.append(range(_first(within), max(last, _first(within)) + 1))


def _first(node: ast.AST) -> int:
    if isinstance(node, ast.match_case):
        return node.pattern.lineno
    lines: list[int] = [getattr(node, "lineno", 0)]
    lines += [one.lineno for one in getattr(node, "decorator_list", [])]
    return min(lines)


def _last(node: ast.AST) -> int:
    if isinstance(node, ast.match_case):
        return _last(node.body[-1])
    last: int = getattr(node, "end_lineno", 0)
    return last
