"""The documents name what exists, and their code runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.test import override_settings

from pooled_db import conf
from tests.documentation import DOCS, ROOT, Block, blocks, pages, run

README = ROOT / "README.md"
PAGES = sorted({*ROOT.glob("*.md"), *pages()})

CODE = [
    block for page in pages() for block in blocks(page) if block.language == "python"
]
#: Programs that measure for up to a minute, on servers of their own.
PROGRAMS = [block for block in CODE if block.page == "docs/measurements.md"]


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


def test_each_command_of_make_that_is_named_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    named = {
        target
        for page in PAGES
        for target in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))
    }

    assert named - targets == set()


def test_the_probes_of_kubernetes_do_not_queue() -> None:
    yaml = pytest.importorskip("yaml")
    page = list(blocks(DOCS / "how-to" / "kubernetes.md"))
    probes, ingress = (
        yaml.safe_load(block.text) for block in page if block.language == "yaml"
    )
    (code,) = (run(block) for block in page if block.language == "python")

    paths = {probe["httpGet"]["path"] for probe in probes.values()}

    exempt = conf.MiddlewareSettings(exempt=tuple(code["POOLED_DB"]["EXEMPT"]))
    assert [exempt.is_exempt(path) for path in paths] == [True]
    assert [str(pattern.pattern) for pattern in code["urlpatterns"]] == ["healthz"]
    assert set(ingress) == {
        "nginx.ingress.kubernetes.io/proxy-next-upstream",
        "nginx.ingress.kubernetes.io/proxy-read-timeout",
    }


def test_llms_txt_names_each_page_once() -> None:
    text = (DOCS / "llms.txt").read_text("utf-8")
    named = re.findall(r"\]\(([^):]+\.md)\)", text)
    there = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]

    assert sorted(named) == sorted(set(there) - {"index.md"})


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

    What readers write into files is run by tests/server/test_tutorial.py, and functions
    are called by tests/server/test_documented_functions.py.
    """
    names = run(block)

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
