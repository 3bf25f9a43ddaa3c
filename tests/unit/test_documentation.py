"""The documents name what exists, and their code runs."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.test import override_settings

from pooled_db import conf
from tests.documentation import DOCS, ROOT, Block, blocks, pages

README = ROOT / "README.md"
PAGES = sorted({*ROOT.glob("*.md"), *pages()})

CODE = [
    block for page in pages() for block in blocks(page) if block.language == "python"
]
#: Programs that measure for up to a minute, on servers of their own.
PROGRAMS = [block for block in CODE if block.page == "docs/measurements.md"]

#: What the code of a page imports and the tests have not: other people's packages, and
#: modules of the reader's project.
STAND_INS: dict[str, tuple[str, ...]] = {
    "channels.db": ("database_sync_to_async",),
    "channels.generic.websocket": ("AsyncJsonWebsocketConsumer",),
    "otherpackage.mysql": ("base",),
}


def test_readme_is_read_in_a_minute() -> None:
    assert len(README.read_text("utf-8").split()) <= 700


def _slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


def _headings(page: Path) -> set[str]:
    text = page.read_text("utf-8")
    included = re.match(r"```\{include\} (\S+)", text)
    if included is not None:
        return _headings(page.parent / included[1])
    return {_slug(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        path, _, heading = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (heading and heading not in _headings(target)):
            dead.append(link)

    assert dead == []


def test_llms_txt_names_each_page_once() -> None:
    text = (DOCS / "llms.txt").read_text("utf-8")
    named = re.findall(r"\]\(([^):]+\.md)\)", text)
    there = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]

    assert sorted(named) == sorted(set(there) - {"index.md"})


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    made: dict[str, types.ModuleType] = {}
    for name, members in STAND_INS.items():
        for end in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:end])
            made.setdefault(part, types.ModuleType(part))
        for member in members:
            setattr(made[name], member, _StandIn)
    with mock.patch.dict(sys.modules, made):
        yield


class _StandIn:
    """A class, a decorator, and a module with a DatabaseWrapper."""

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else function

    class DatabaseWrapper:
        pass


#: What the text around a fragment tells of, so that the fragment runs by itself.
BEFORE = """\
from types import SimpleNamespace
admin = SimpleNamespace()
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
admin.site = SimpleNamespace(urls=([], "admin", "admin"))
MIDDLEWARE, INSTALLED_APPS = [], []
DATABASES = {"default": {"ENGINE": "pooled_db.backends.mysql"}}
"""


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_programs_that_measure_find_what_they_import(block: Block) -> None:
    tree = ast.parse(block.text)
    tree.body = [
        node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    exec(compile(tree, block.page, "exec"), {})


@pytest.mark.parametrize(
    "block",
    [block for block in CODE if block not in PROGRAMS and block.file is None],
    ids=str,
)
def test_code_runs(block: Block) -> None:
    """It runs, and nothing is wrong with the settings that it makes.

    What readers write into files is run by tests/server/test_tutorial.py.
    """
    names: dict[str, Any] = {}
    exec(BEFORE, names)
    with _stand_ins():
        exec(
            compile(f"{chr(10) * (block.line - 1)}{block.text}", block.page, "exec"),
            names,
        )

    made = {
        name: names[name]
        for name in (conf.POOL_DEFAULTS, conf.MIDDLEWARE_SETTINGS)
        if name in names
    }
    with override_settings(**made):
        problems = [
            *conf.middleware_problems(),
            *(
                problem
                for alias, database in names["DATABASES"].items()
                for problem in conf.pool_problems(alias, database)
            ),
        ]
    assert problems == []
