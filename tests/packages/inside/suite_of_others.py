"""Runs inside another package's suite: gives it databases, and writes down its ends.

It stands in a folder of its own, since other packages call their tests "tests", too.
"""

from __future__ import annotations

import json
import os
import unittest
from typing import Any

from django.conf import LazySettings
from django.test.runner import DiscoverRunner

DATABASES: dict[str, Any] = json.loads(os.environ["SUITE_DATABASES"])


def write(*line: str) -> None:
    with open(os.environ["SUITE_OUTCOMES"], "a") as outcomes:
        outcomes.write(json.dumps(line) + "\n")


# For pytest, whose conftest.py configures Django itself.


def configure(self: LazySettings, *args: Any, **options: Any) -> None:
    _configure(self, *args, **{**options, "DATABASES": DATABASES})


_configure = LazySettings.configure
LazySettings.configure = configure  # type: ignore[method-assign]


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        name = {"passed": "ok", "failed": "failed"}.get(report.outcome, "skipped")
        write(report.nodeid, name)


def pytest_sessionfinish() -> None:
    write("the end")


# For Django's runner.


class Result(unittest.TextTestResult):
    def addSuccess(self, test: unittest.TestCase) -> None:
        write(test.id(), "ok")
        super().addSuccess(test)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        write(getattr(test, "test_case", test).id(), "skipped")
        super().addSkip(test, reason)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        write(test.id(), "failed")
        super().addFailure(test, err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        write(test.id(), "error")
        super().addError(test, err)


class Runner(DiscoverRunner):
    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return Result

    def run_tests(self, *args: Any, **kwargs: Any) -> int:
        failures: int = super().run_tests(*args, **kwargs)
        write("the end")
        return failures
