"""Each thing that users can name has exactly one entry in the reference.

Whoever adds a setting, a check, a number, a line of the log or a public name finds here
that it wants an entry, and which table or page is to have it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard
from unittest import mock

import pytest

import pooled_db
from pooled_db import conf
from pooled_db.exceptions import Reason
from pooled_db.management.commands.pools import Command
from pooled_db.metrics import PoolCollector
from pooled_db.pool.numbers import CLOSED_FOR
from pooled_db.pool.stats import PoolStats
from tests.documentation import DOCS, entries, pages

PACKAGE = Path(pooled_db.__file__).parent

#: Modules at the top of the package that nobody else is to import.
INTERNAL = {
    *("__main__", "apps", "celery_fixup", "checks", "exceptions", "fork"),
    *("model_checks", "placement", "pools", "state", "workers"),
}
#: Rooms that nobody else is to import from.
ROOMS = {
    *("conf", "dashboard", "driver", "management", "pool", "request"),
    "watching",
}
#: What of the backends is more than the name of an ENGINE.
BACKENDS = {"backends/mysql/base.py"}

LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}


def _sources() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), path.read_text("utf-8")


def _assert_once(kind: str, names: set[str], exact: bool = True) -> None:
    found = entries(kind)
    listed = {name: found.count(name) for name in {*names, *(found if exact else ())}}
    wrong = {name: count for name, count in listed.items() if count != 1}
    unknown = sorted(set(found) - names) if exact else []
    assert (wrong, unknown) == ({}, []), f'the tables that "{kind}" heads'


def test_each_option_of_a_pool_and_of_the_middleware_has_one_row() -> None:
    options = {field.name for field in dataclasses.fields(conf.PoolSettings)}
    options |= {
        field.name.upper() for field in dataclasses.fields(conf.MiddlewareSettings)
    }

    _assert_once("option", options)


def test_each_default_is_the_one_that_is_documented() -> None:
    text = (DOCS / "reference" / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| `?([^`|]+?)`? \|", text, re.MULTILINE))

    defaults = {
        field.name: field.default for field in dataclasses.fields(conf.PoolSettings)
    }
    written = {name: ast.literal_eval(rows[name]) for name in defaults}

    assert written == defaults


def test_each_default_of_the_middleware_is_the_one_that_is_documented() -> None:
    text = (DOCS / "reference" / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+?) \|", text, re.MULTILINE))
    assert rows.pop("STATE_DIR").startswith("a directory of this site's")

    written = {
        name: ast.literal_eval(row.partition(",")[0].strip("`"))
        for name, row in rows.items()
    }

    assert written == {
        field.name.upper(): list(field.default)
        if isinstance(field.default, tuple)
        else field.default
        for field in dataclasses.fields(conf.MiddlewareSettings)
        if field.name != "state_dir"
    }


def test_each_argument_of_the_command_has_one_row() -> None:
    parser = ArgumentParser()
    Command().add_arguments(parser)

    documented = {entry.split()[0] for entry in entries("argument")}

    assert documented == {*parser._option_string_actions} - {"-h", "--help"}


def test_each_check_has_one_row() -> None:
    ids = {
        name for _, text in _sources() for name in re.findall(r"\w+\.[EWI]\d{3}", text)
    }

    _assert_once("id", {name for name in ids if name.startswith("pooled_db.")})


def test_each_reason_of_a_503_has_one_row() -> None:
    _assert_once("reason", {reason.value for reason in Reason})


def test_each_number_has_one_row() -> None:
    fields = {field.name for field in dataclasses.fields(PoolStats)}
    properties = {
        name
        for name, member in inspect.getmembers(PoolStats)
        if isinstance(member, property)
    }

    _assert_once("number", fields | properties)


def test_each_reason_to_close_is_in_the_row_of_closed() -> None:
    text = (DOCS / "reference" / "numbers.md").read_text("utf-8")
    (row,) = re.findall(r"^\| `closed` \|(.*)$", text, re.MULTILINE)

    assert set(re.findall(r"`([a-z]+)`", row)) == set(CLOSED_FOR)


def _log_formats() -> Iterator[tuple[str, str]]:
    """Where each line of the log is made, and its text."""
    for where, text in _sources():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if not _is_log_call(node):
                continue
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield f"{where}:{node.lineno}", str(first.value)
            else:  # made elsewhere in the module, and passed on
                yield from _constants(where, tree)


def _is_log_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LOG_METHODS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "logger"
    )


def _constants(where: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            text = str(node.value.value)
            if "%" in text:
                yield f"{where}:{node.lineno}", text


FORMATS = list(_log_formats())


def test_all_modules_that_log_are_found() -> None:
    log = {
        where for where, text in _sources() if re.search(r"\blogger\.[a-z]+\(", text)
    }

    assert {where.partition(":")[0] for where, _ in FORMATS} == log


@pytest.mark.parametrize(("where", "text"), FORMATS)
def test_each_line_of_the_log_has_one_row(where: str, text: str) -> None:
    sentence = re.split(r"(?<=[.:]) ", text)[0]
    pattern = re.compile(
        ".+".join(re.escape(part) for part in re.split(r"%[a-z.\d]+", sentence))
    )

    rows = [entry for entry in entries("line") if pattern.match(entry)]

    assert len(rows) == 1, f'{where}: "{sentence}" among the lines of the log'


def _public_names() -> set[str]:
    names = {f"pooled_db.{name}" for name in pooled_db.__all__}
    names.discard("pooled_db.__version__")  # a sentence, no entry
    for where, text in _sources():
        room = where.partition("/")[0].removesuffix(".py")
        if where in BACKENDS or room not in {"__init__", "backends", *INTERNAL, *ROOMS}:
            module = f"pooled_db.{where.removesuffix('.py').replace('/', '.')}"
            names.update(f"{module}.{name}" for name in _defined(ast.parse(text)))
    return names


def _defined(tree: ast.Module) -> list[str]:
    """What ``__all__`` lists, or else the functions and classes of a module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return [
        node.name
        for node in tree.body
        if isinstance(node, (ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef))
        and not node.name.startswith("_")
    ]


def test_each_public_name_has_one_entry() -> None:
    text = "".join(
        page.read_text("utf-8") for page in sorted((DOCS / "reference").glob("*.md"))
    )
    documented = re.findall(r"^\.\. (?:auto|py:)[a-z]+:: ([\w.]+)$", text, re.MULTILINE)

    public = _public_names()
    missing = sorted(public - set(documented))
    other = sorted(name for name in documented if name not in public)
    assert (missing, other) == ([], []), "docs/reference/api.md, or INTERNAL above"
    assert len(documented) == len(public)


def test_the_tables_of_metrics_are_what_is_exported() -> None:
    """If it is not, the assertion shows what docs/reference/metrics.md wants."""
    rows = ["| metric | type | meaning |", "| --- | --- | --- |"]
    for family in PoolCollector().collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    for name, words in _of_opentelemetry():
        rows.append(f"| `{name}` | {words} |")
    text = (DOCS / "reference" / "metrics.md").read_text("utf-8")

    written = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    written.remove("| OpenTelemetry metric | meaning |")
    written.remove("| --- | --- |")
    assert written == rows


def _of_opentelemetry() -> Iterator[tuple[str, str]]:
    pytest.importorskip("opentelemetry")
    from pooled_db import opentelemetry

    meter = mock.Mock()
    with mock.patch("pooled_db.opentelemetry.in_child"):
        opentelemetry._Metrics(meter)
    for call in meter.method_calls:
        name, *_, words = call.args
        yield name, words


def test_each_alert_has_one_row_and_its_rule_one_home() -> None:
    rule = re.compile(r"- alert: (\w+)")
    alerts = rule.findall((DOCS / "monitoring" / "alerts.yml").read_text("utf-8"))
    page = (DOCS / "how-to" / "alerts.md").read_text("utf-8")
    assert re.findall(r"\| `(\w+)` \|$", page, re.MULTILINE) == alerts
    assert [page for page in pages() if rule.search(page.read_text("utf-8"))] == []
