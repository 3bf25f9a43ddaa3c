"""What every test came to with either backend, and where the two differ."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .recording import END

#: How often each test ended how. Its subtests count with it: their names are made of
#: parameters, which can be random, and can be the same.
Outcomes = Mapping[str, Counter[str]]

NOT_FAILED = {"ok", "skipped", "expected failure"}


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


def report(plain: Outcomes, pooled: Outcomes) -> tuple[str, bool]:
    """Return what people want to know, and whether the backends are alike."""
    different = list(differences(plain, pooled))
    failed = list(failures_alike(plain, pooled))
    lines = [
        *_table(plain, pooled),
        *_section("fail with either backend alike", failed),
        *_section("differ", different),
    ]
    return "\n".join(lines), not different


def differences(plain: Outcomes, pooled: Outcomes) -> Iterator[str]:
    """Name each test that comes to one thing with Django's backend, to another here."""
    for test in sorted(plain.keys() | pooled.keys()):
        there, here = plain.get(test), pooled.get(test)
        if there != here:
            yield f"{test}: {_words(there)} on Django's, {_words(here)} on pooled_db's"


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
