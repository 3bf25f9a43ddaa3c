"""What the documentation says, as tests read it."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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


#: What the code of a page imports and may be missing: packages of other people, and
#: modules of the reader's project.
STAND_INS: dict[str, tuple[str, ...]] = {
    "channels.db": ("database_sync_to_async",),
    "channels.generic.websocket": ("AsyncJsonWebsocketConsumer",),
    "otherpackage.mysql": ("base",),
}

#: What some code cannot run without, and `make matrix` does not install everywhere.
OPTIONAL = {"debug_toolbar", "django_prometheus", "pymysql"}


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    made: dict[str, types.ModuleType] = {}
    for name, members in STAND_INS.items():
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            continue
        for end in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:end])
            made.setdefault(part, types.ModuleType(part))
        for member in members:
            setattr(made[name], member, _StandIn)
    with importable(made):
        yield


@contextlib.contextmanager
def importable(made: Mapping[str, types.ModuleType]) -> Iterator[None]:
    """Let *made* be imported by their names.

    Whatever else is imported meanwhile stays, as with mock.patch.dict() it would not: a
    second copy of Celery's own tasks, say, is a mistake to Celery.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, module in made.items():
            patch.setitem(sys.modules, name, module)
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


def run(block: Block, **given: Any) -> dict[str, Any]:
    """Run *block*, which may use what is *given*; the names that it makes."""
    names = {"__name__": "documented", **given}
    exec(BEFORE, names)
    code = compile(f"{chr(10) * (block.line - 1)}{block.text}", block.page, "exec")
    with _stand_ins():
        try:
            exec(code, names)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
            pytest.skip(f"{error.name} is not installed")
    return names
