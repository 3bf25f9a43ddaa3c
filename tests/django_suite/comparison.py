"""What every test came to with either backend, and where the two differ."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from .recording import END

#: How often each test ended how. Its subtests count with it: their names are made of
#: parameters, which can be random, and can be the same.
Outcomes = Mapping[str, Counter[str]]

NOT_FAILED = {"ok", "skipped", "expected failure"}
#: How often tests that differ are run again on Django's backend: a test of a time that
#: something takes fails there as well, but not each time.
TRIES = 30
#: How many may differ by accident: more of them are not run again.
FEW = 10


class Incomplete(Exception):
    """A run broke off, or ran nothing."""


def read(path: Path) -> Outcomes:
    """Return what the tests came to. Raises Incomplete."""
    text = path.read_text() if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    if lines in ([], [END]):
        raise Incomplete("No test has been run.")
    if lines[-1] != END:
        raise Incomplete(f"The run broke off after {lines[-1][0]}.")
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for test, *outcome in lines:
        if outcome:
            outcomes[test].update(outcome)
    return outcomes


def report(
    plain: Outcomes, pooled: Outcomes, unsteady: Collection[str] = ()
) -> tuple[str, bool]:
    """Return what people want to know, and whether the backends are alike.

    Tests that are *unsteady* come to either with Django's backend alone.
    """
    different = [one for one in differing(plain, pooled) if one not in unsteady]
    failed = list(failures_alike(plain, pooled))
    lines = [
        *_table(plain, pooled),
        *_section("fail with either backend alike", failed),
        *_section("come to either with Django's backend alone", sorted(unsteady)),
        *_section("differ", (_difference(one, plain, pooled) for one in different)),
    ]
    return "\n".join(lines), not different


def differing(plain: Outcomes, pooled: Outcomes) -> list[str]:
    """Name each test that comes to one thing with Django's backend, to another here."""
    return [
        test
        for test in sorted(plain.keys() | pooled.keys())
        if plain.get(test) != pooled.get(test)
    ]


def _difference(test: str, plain: Outcomes, pooled: Outcomes) -> str:
    there, here = _words(plain.get(test)), _words(pooled.get(test))
    return f"{test}: {there} on Django's, {here} on pooled_db's"


def find_unsteady(
    plain: Outcomes, pooled: Outcomes, again: Callable[[list[str]], Outcomes]
) -> set[str]:
    """Name those that differ, but end as they did here with Django's backend, too.

    *again* runs tests on that once more.
    """
    left = {
        one
        for one in differing(plain, pooled)
        # What has no name to be run by: "setUpClass (...)".
        if one in plain and one in pooled and " " not in one
    }
    unsteady: set[str] = set()
    for _ in range(TRIES):
        if not 0 < len(left) <= FEW:
            break
        outcomes = again(sorted(left))
        found = {one for one in left if outcomes.get(one) == pooled[one]}
        unsteady |= found
        left -= found
    return unsteady


def failures_alike(plain: Outcomes, pooled: Outcomes) -> Iterator[str]:
    """Name each test that fails with both backends, and in the same way."""
    for test in sorted(plain.keys() & pooled.keys()):
        if plain[test] == pooled[test] and plain[test].keys() - NOT_FAILED:
            yield f"{test}: {_words(plain[test])}"


def _words(ends: Counter[str] | None) -> str:
    if ends is None:
        return "absent"
    return " and ".join(
        end if times == 1 else f"{end} {times} times"
        for end, times in sorted(ends.items())
    )


def _table(plain: Outcomes, pooled: Outcomes) -> Iterator[str]:
    there, here = (sum(each.values(), Counter()) for each in (plain, pooled))
    yield f"\n{'tests and subtests':20}{'Django':>12}{'pooled_db':>12}"
    for end in sorted(there | here, key=lambda end: (end != "ok", end)):
        yield f"{end:20}{there[end]:12,}{here[end]:12,}"


def _section(title: str, tests: Iterable[str]) -> Iterator[str]:
    tests = list(tests)
    yield f"\n{len(tests)} {title}{':' if tests else '.'}"
    for test in tests:
        yield f"  {test}"
