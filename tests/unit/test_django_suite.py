"""The comparison of Django's suite on two backends cannot overlook a difference."""

from __future__ import annotations

import io
import unittest
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.django_suite.comparison import (
    TRIES,
    Incomplete,
    Outcomes,
    find_unsteady,
    read,
    report,
)
from tests.django_suite.recording import END, OUTCOMES, RecordingResult, write


@pytest.fixture
def outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "outcomes.jsonl"
    monkeypatch.setenv(OUTCOMES, str(path))
    return path


def run(tests: type[unittest.TestCase]) -> None:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(tests)
    # A class derived from TextTestResult is bound to one kind of stream in the stubs.
    runner = unittest.TextTestRunner(
        io.StringIO(),
        resultclass=RecordingResult,  # type: ignore[arg-type]
    )
    runner.run(suite)
    write(*END)


def ends(outcomes: Outcomes) -> dict[str, list[str]]:
    return {
        test.partition("<locals>.")[2]: sorted(counted.elements())
        for test, counted in outcomes.items()
    }


def test_the_end_of_every_test_is_written_down(outcomes: Path) -> None:
    class Tests(unittest.TestCase):
        def test_good(self) -> None:
            pass

        def test_bad(self) -> None:
            self.fail()

        def test_broken(self) -> None:
            raise ValueError

        def test_skipped(self) -> None:
            self.skipTest("now")

        @unittest.expectedFailure
        def test_known(self) -> None:
            self.fail()

        @unittest.expectedFailure
        def test_mended(self) -> None:
            pass

    run(Tests)

    assert ends(read(outcomes)) == {
        "Tests.test_good": ["ok"],
        "Tests.test_bad": ["failed"],
        "Tests.test_broken": ["error"],
        "Tests.test_skipped": ["skipped"],
        "Tests.test_known": ["expected failure"],
        "Tests.test_mended": ["unexpected success"],
    }


def test_the_end_of_every_subtest_is_written_down(outcomes: Path) -> None:
    class Tests(unittest.TestCase):
        def test_many(self) -> None:
            for divisor in 0, 1, 2, 3:
                with self.subTest(divisor=divisor, random=object()):
                    if divisor == 3:
                        self.skipTest("now")
                    assert 2 // divisor == 2

    run(Tests)

    assert ends(read(outcomes)) == {
        "Tests.test_many": ["error", "failed", "ok", "skipped"]
    }


def test_a_test_that_fails_twice_is_written_down_twice(outcomes: Path) -> None:
    class Tests(unittest.TestCase):
        def test_bad(self) -> None:
            self.fail()

        def tearDown(self) -> None:
            raise ValueError

    run(Tests)
    assert ends(read(outcomes)) == {"Tests.test_bad": ["error", "failed"]}


def test_a_class_that_cannot_be_set_up_is_written_down(outcomes: Path) -> None:
    class Tests(unittest.TestCase):
        @classmethod
        def setUpClass(cls) -> None:
            raise ValueError

        def test_never(self) -> None:
            pass

    run(Tests)
    assert list(ends(read(outcomes)).values()) == [["error"]]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ([], "No test has been run"),
        ([END], "No test has been run"),
        ([["first", "ok"], ["second", "ok"]], "broke off after second"),
    ],
)
def test_a_run_that_did_not_get_to_its_end_counts_for_nothing(
    outcomes: Path, written: list[list[str]], message: str
) -> None:
    for line in written:
        write(*line)
    with pytest.raises(Incomplete, match=message):
        read(outcomes)


def counted(**tests: str) -> Outcomes:
    return {test: Counter([end]) for test, end in tests.items()}


def test_backends_that_come_to_the_same_are_alike() -> None:
    both = counted(a="ok", b="skipped", c="expected failure", d="failed")
    text, alike = report(both, both)
    assert alike
    assert "1 fail with either backend alike:\n  d: failed\n" in text
    assert "0 differ." in text


@pytest.mark.parametrize("end", ["failed", "error", "skipped", "unexpected success"])
def test_what_passes_on_djangos_backend_alone_is_a_difference(end: str) -> None:
    text, alike = report(counted(a="ok", b="ok"), counted(a="ok", b=end))
    assert not alike
    assert f"1 differ:\n  b: ok on Django's, {end} on pooled_db's" in text


@pytest.mark.parametrize(
    ("turn", "line"),
    [
        (lambda a, b: (a, b), "b: ok on Django's, absent on pooled_db's"),
        (lambda a, b: (b, a), "b: absent on Django's, ok on pooled_db's"),
    ],
)
def test_what_exists_on_one_side_alone_is_a_difference(
    turn: Callable[[Outcomes, Outcomes], tuple[Outcomes, Outcomes]], line: str
) -> None:
    text, alike = report(*turn(counted(a="ok", b="ok"), counted(a="ok")))
    assert not alike
    assert line in text


def test_what_fails_on_djangos_backend_as_well_at_times_is_no_difference() -> None:
    plain, pooled = counted(a="ok", b="ok"), counted(a="ok", b="failed")
    ends = iter(["ok", "ok", "failed"])
    asked: list[list[str]] = []

    def again(tests: list[str]) -> Outcomes:
        asked.append(tests)
        return counted(b=next(ends))

    unsteady = find_unsteady(plain, pooled, again)
    text, alike = report(plain, pooled, unsteady)

    assert (unsteady, asked) == ({"b"}, [["b"]] * 3)
    assert alike
    assert "1 come to either with Django's backend alone:\n  b\n" in text
    assert "0 differ." in text


def test_what_fails_here_alone_stays_a_difference_however_often_it_is_run() -> None:
    plain, pooled = counted(a="ok", b="ok", c="ok"), counted(a="failed", b="ok")
    tried: list[list[str]] = []

    def again(tests: list[str]) -> Outcomes:
        tried.append(tests)
        return counted(a="ok")

    unsteady = find_unsteady(plain, pooled, again)
    _, alike = report(plain, pooled, unsteady)

    assert (unsteady, alike, len(tried)) == (set(), False, TRIES)
    assert tried[0] == ["a"]


@pytest.mark.parametrize(
    "tests", [["setUpClass (app.Tests)"], [f"test{n}" for n in range(11)]]
)
def test_what_cannot_be_run_by_its_name_or_is_too_much_is_not_run_again(
    tests: list[str],
) -> None:
    plain = counted(**dict.fromkeys(tests, "ok"))
    pooled = counted(**dict.fromkeys(tests, "error"))

    def again(tests: list[str]) -> Outcomes:
        raise AssertionError(tests)

    assert find_unsteady(plain, pooled, again) == set()
