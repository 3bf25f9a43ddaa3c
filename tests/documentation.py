"""What the documentation says, as tests read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z-]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_ROW = re.compile(r"^\| *(.*?) *\|", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")


def pages() -> list[Path]:
    """All pages, and README.md."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A block of code, and where it stands."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the first line names, of those that readers are to write."""
        found = re.match(r"# (\S+\.py)\n", self.text)
        return None if found is None else found[1]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of *page*, without their indentation."""
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        yield Block(
            str(page.relative_to(ROOT)),
            text.count("\n", 0, found.start()) + 2,
            found["language"],
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
        )


def entries(kind: str) -> list[str]:
    """What stands as code in the first column of the tables that *kind* heads."""
    found: list[str] = []
    for page in pages():
        for table in re.split(r"\n(?!\|)", page.read_text("utf-8")):
            rows = _ROW.findall(table.lstrip("\n"))
            if rows and rows[0].strip("`") == kind:
                found.extend(code for row in rows[1:] for code in _CODE.findall(row))
    return found
