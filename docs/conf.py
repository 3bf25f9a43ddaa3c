"""How Sphinx makes the documentation: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

import django
from django.conf import settings
from sphinx.application import Sphinx

import pooled_db

HERE = Path(__file__).parent

# autodoc imports modules that look into Django's settings; no server is asked.
settings.configure(
    DATABASES={"default": {"ENGINE": "pooled_db.backends.mysql"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "pooled_db"],
    POOLED_DB={"STATE_DIR": None},
)
django.setup()

project = "pooled_db"
author = "pooled_db contributors"
version = release = pooled_db.__version__
copyright = f"2026, {author}"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["build"]
# Links to headings are those that repositories make of them, too.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "colon_fence"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"pooled_db {version}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
# What users copy is a command, not a lexer's guess.
highlight_language = "text"

#: Files of the repository that are pages here.
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "project/security.md",
}
_LINK_OUT = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+)([^)#]+)(#[^)]*)?\)")


def _lead_to_pages(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links into the repository lead to its pages, or be plain text."""
    up = "../" * page.count("/")

    def replacement(link: re.Match[str]) -> str:
        text, way, path, heading = link.groups()
        if len(way) != len(up) + 3:
            return link[0]
        if path not in PAGES:
            return text
        return f"[{text}]({up}{PAGES[path]}{heading or ''})"

    source[0] = _LINK_OUT.sub(replacement, source[0])


def _write_llms_txt(app: Sphinx, exception: Exception | None) -> None:
    """Put llms.txt beside the pages, with links to their sources."""
    if exception is None and app.builder.format == "html":
        text = (HERE / "llms.txt").read_text("utf-8")
        linked = re.sub(r"\]\(([^):]+\.md)\)", r"](_sources/\1.txt)", text)
        (Path(app.outdir) / "llms.txt").write_text(linked, "utf-8")


def setup(app: Sphinx) -> None:
    app.connect("source-read", _lead_to_pages)
    app.connect("build-finished", _write_llms_txt)
