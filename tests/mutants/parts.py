"""Which tests see a mutant: those of the code, and those that start sites.

This module is a plugin of pytest, which leaves out what starts sites if the environment
says so, and keeps how long each test took.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from .exchange import Loaded

ROOT = Path(__file__).parent.parent.parent
PART = "MUTANTS_PART"
CODE, SITES = "code", "sites"
#: The file that says how long each test took, beside the record of what it reaches.
SECONDS = "seconds.json"
#: What a test that is served by another process asks for.
_SITE = frozenset({"site_database"})
#: Tests that start programs, or look at no code of the library.
_ELSEWHERE = frozenset(
    f"test_{name}.py"
    for name in (
        "celery",
        "cluster_configurations",
        "cost",
        "demo",
        "django_suite",
        "documentation",
        "fleet",
        "harness",
        "monitoring",
        "mutations",
        "package",
        "proxy",
        "requests",
        "rush_outcome",
        "servers",
        "simulation",
        "statements_executed",
        "statements_parsed",
        "tutorial",
        "visit",
        "watching",
    )
)
IN_PROCESS = [
    str(path.relative_to(ROOT))
    for room in ("unit", "server")
    for path in sorted((ROOT / "tests" / room).glob("test_*.py"))
    if path.name not in _ELSEWHERE
]
_seconds: dict[str, float] = {}
_others: set[str] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is known to start sites; the others may do so, too."""
    if os.environ.get(PART) == CODE:
        items[:] = [item for item in items if _is_of_code(item)]


def _is_of_code(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.path.name not in _ELSEWHERE and not fixtures & _SITE


@cache
def _loaded() -> Loaded:
    return Loaded(ROOT)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Where it is recorded who reaches what, nobody does without for others' sake."""
    if os.environ.get("COVERAGE_FILE"):
        _loaded().forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Skip what starts a program, when it does."""
    if os.environ.get(PART) != CODE:
        return (yield)
    with mock.patch.object(subprocess, "Popen", _no_program):
        return (yield)


def _no_program(*args: object, **kwargs: object) -> None:
    pytest.skip("It starts a program.")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.passed:
        before = _seconds.get(report.nodeid, 0.0)
        _seconds[report.nodeid] = before + report.duration
    else:
        _others.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    record = os.environ.get("COVERAGE_FILE")
    if record and not hasattr(session.config, "workerinput"):
        seconds = {name: _seconds[name] for name in _seconds.keys() - _others}
        Path(record).with_name(SECONDS).write_text(json.dumps(seconds))


def readers_of(module: str) -> list[str]:
    """The files of tests/unit that import *module*, a path, or a name from it.

    A test that compares a constant with what is documented executes no line of it.
    """
    name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return [test for test in IN_PROCESS if name in _imported_by(test)]


@cache
def _imported_by(test: str) -> frozenset[str]:
    if not test.startswith("tests/unit/"):
        return frozenset()
    tree = ast.parse((ROOT / test).read_bytes())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return frozenset(
        name
        for node in found
        for one in node.names
        for name in (node.module or "", f"{node.module}.{one.name}")
    )


def sites_of(module: str) -> list[str]:
    """The files of tests that start sites and can see *module*, a path."""
    room, *_, name = 2 * module.removeprefix("pooled_db/").removesuffix(".py").split(
        "/"
    )
    seen = _SEEN_ON_SITES.get(name) or _SEEN_ON_SITES.get(room, _LOANS)
    return [
        f"tests/{'unit' if one in _STARTS_A_PROGRAM else 'server'}/test_{one}.py"
        for one in seen
    ]


#: Of tests/unit. Nobody records what a forked child reaches.
_STARTS_A_PROGRAM = ("environment", "fork")
#: What decides who has a connection.
_LOANS = ("one_connection", "hold", "slow_clients", "own_errors", "unavailable", "door")
_SEEN_ON_SITES: dict[str, tuple[str, ...]] = {
    "__main__": ("environment",),
    "apps": ("tutorial",),
    "celery_fixup": ("celery",),
    "checks": ("check_commands",),
    "dashboard": ("dashboard",),
    "debug_toolbar": ("debug_toolbar",),
    "fork": ("fork", "forks"),
    "management": ("watching",),
    "metrics": ("monitoring",),
    "model_checks": ("check_commands",),
    "opentelemetry": ("monitoring",),
    "pools": ("fork", "forks", *_LOANS, "processes"),
    "pymysql": ("pymysql",),
    "state": ("watching",),
    "watching": ("watching",),
    "workers": ("check_commands",),
}
