"""Each text that users of a site see is there in each language, as it was compiled."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest

import pooled_db

PACKAGE = Path(pooled_db.__file__).parent
CATALOGUES = sorted(PACKAGE.glob("locale/*/LC_MESSAGES/django.po"))
FUNCTIONS = {"_", "gettext", "gettext_lazy"}


def _texts() -> set[str]:
    """What the code marks to be translated; a context and its text are one."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                texts = [
                    arg.value for arg in node.args if isinstance(arg, ast.Constant)
                ]
                if node.func.id in FUNCTIONS:
                    found.add(str(texts[0]))
                elif node.func.id == "pgettext":
                    found.add("\x04".join(map(str, texts)))
    return found


def _written(catalogue: Path) -> dict[str, str]:
    entries = re.findall(
        r'^(?:msgctxt "(.*)"\n)?msgid "(.+)"\nmsgstr "(.*)"$',
        catalogue.read_text("utf-8"),
        re.MULTILINE,
    )
    return {
        "\x04".join(filter(None, (context, text))): translation
        for context, text, translation in entries
    }


def test_there_are_these_languages() -> None:
    assert [path.parts[-3] for path in CATALOGUES] == ["de", "es", "fr", "ja", "pt_BR"]


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_each_text_is_translated_and_compiled(catalogue: Path) -> None:
    written = _written(catalogue)
    with catalogue.with_suffix(".mo").open("rb") as file:
        compiled = dict(vars(gettext.GNUTranslations(file))["_catalog"])
    compiled.pop("")

    assert set(written) == _texts()
    assert all(written.values())
    assert compiled == written
