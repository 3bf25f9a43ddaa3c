"""Outcomes side by side: a column for each site, a row for what is compared."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from demo.serving import Backend

#: Characters of a column's head. The whole fits a terminal of 80.
HEAD = 16


class SideBySide(Table):
    def __init__(self, title: str, backends: Iterable[Backend]) -> None:
        super().__init__(title=title, title_justify="left")
        self.add_column(no_wrap=True)
        for backend in backends:
            head = textwrap.wrap(backend.title, HEAD)
            self.add_column(
                "\n".join(head), justify="right", min_width=max(map(len, head))
            )

    def row(self, title: str, *cells: object, section: bool = False) -> None:
        """Add a row; a line is drawn below if it ends a *section*."""
        shown = [cell if isinstance(cell, Text) else str(cell) for cell in cells]
        self.add_row(title, *shown, end_section=section)
