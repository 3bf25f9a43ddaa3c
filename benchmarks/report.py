"""What every benchmark leaves behind: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable

from benchmarks.machine import revision

RESULTS = Path(__file__).parent / "results"
NOTHING = "–"  # noqa: RUF001  an en dash, as tables have it

# These are text; all others are figures and stand to the right.
TEXT = ("load", "contender", "server", "check", "link", "part", "what", "")


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        rules = [":--" if heading in TEXT else "--:" for heading in self.headings]
        lines = [self.headings, rules, *self.rows]
        note = [self.note, ""] if self.note else []
        table = [f"| {' | '.join(line)} |" for line in lines]
        return "\n".join([f"### {self.title}", "", *note, *table])

    def rich(self) -> RenderableType:
        """Compact, for a terminal: what the first column repeats is left out."""
        table = RichTable(
            title=self.title,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1),
        )
        for place, heading in enumerate(self.headings):
            table.add_column(
                heading,
                justify="left" if heading in TEXT else "right",
                min_width=max((len(row[place]) for row in self.rows), default=0),
            )
        shown = ""
        grouped = len({row[0] for row in self.rows}) < len(self.rows)
        for first, *rest in self.rows:
            if grouped and shown not in ("", first):
                table.add_section()
            table.add_row("" if shown == first else first, *rest)
            shown = first
        return Group(table, self.note + "\n") if self.note else table


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When, with what and on what a benchmark ran."""

    date: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    revision: str = field(default_factory=revision)

    def markdown(self) -> str:
        machine = self.machine
        software = ", ".join(f"{name} {one}" for name, one in self.versions.items())
        return (
            f"{self.date}, revision {self.revision}, on {machine['cores']} cores of"
            f" {machine['cpu']} with {machine['memory']} ({machine['system']}), which"
            f" the server, the database and the load generator share.\n{software}."
        )


def save_markdown(
    path: Path,
    heading: str,
    circumstances: Circumstances,
    explanation: str,
    tables: Sequence[Table],
) -> Path:
    parts = [
        f"# {heading}",
        circumstances.markdown(),
        explanation.strip(),
        *(table.markdown() for table in tables),
    ]
    return _save(path, "\n\n".join(parts) + "\n")


def save_json(path: Path, circumstances: Circumstances, **content: Any) -> Path:
    told = {
        "date": circumstances.date,
        "revision": circumstances.revision,
        "versions": circumstances.versions,
        "machine": circumstances.machine,
        **content,
    }
    return _save(path, json.dumps(told, indent=1) + "\n")


def _save(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def seconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"


def milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value * 1000:.2f} ms"


def amount(value: int) -> str:
    return f"{value:,}"
