"""Runs inside another package's suite: gives it databases, and writes down its ends.

It stands in a folder of its own, since other packages call their tests "tests", too.
"""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Any

from django.conf import LazySettings

DATABASES: dict[str, Any] = json.loads(os.environ["SUITE_DATABASES"])


# How Django's own suite is recorded. By its path: it is in a package called "tests".
_spec = importlib.util.spec_from_file_location(
    "recording", os.environ["SUITE_RECORDING"]
)
assert _spec is not None
assert _spec.loader is not None
recording = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recording)

#: For Django's runner.
Runner = recording.RecordingRunner

# For pytest, whose conftest.py configures Django itself.


def configure(self: LazySettings, *args: Any, **options: Any) -> None:
    _configure(self, *args, **{**options, "DATABASES": DATABASES})


_configure = LazySettings.configure
LazySettings.configure = configure  # type: ignore[method-assign]


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        name = {"passed": "ok", "failed": "failed"}.get(report.outcome, "skipped")
        recording.write(report.nodeid, name)


def pytest_sessionfinish() -> None:
    recording.write(*recording.END)
