"""Write down how every test ends, while Django's own runner runs them."""

from __future__ import annotations

import json
import os
import unittest
from typing import Any

from django.test.runner import DiscoverRunner

#: The environment's name for the file that this is written to, a line of JSON a test.
OUTCOMES = "DJANGO_SUITE_OUTCOMES"

#: The last line of a run that got to its end.
END = ["the end"]


def write(*line: str) -> None:
    # Opened anew each time: tests fork, and run suites of their own.
    with open(os.environ[OUTCOMES], "a") as outcomes:
        outcomes.write(json.dumps(line) + "\n")


class RecordingResult(unittest.TextTestResult):
    def addSuccess(self, test: unittest.TestCase) -> None:
        write(test.id(), "ok")
        super().addSuccess(test)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        # A subtest that is skipped comes here by itself.
        write(getattr(test, "test_case", test).id(), "skipped")
        super().addSkip(test, reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        write(test.id(), "expected failure")
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        write(test.id(), "unexpected success")
        super().addUnexpectedSuccess(test)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        write(test.id(), "failed")
        super().addFailure(test, err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        write(test.id(), "error")
        super().addError(test, err)

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any
    ) -> None:
        if err is None:
            write(test.id(), "ok")
        elif issubclass(err[0], test.failureException):
            write(test.id(), "failed")
        else:
            write(test.id(), "error")
        super().addSubTest(test, subtest, err)


class RecordingRunner(DiscoverRunner):
    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return RecordingResult

    def run_tests(self, *args: Any, **kwargs: Any) -> int:
        failures: int = super().run_tests(*args, **kwargs)
        write(*END)
        return failures
