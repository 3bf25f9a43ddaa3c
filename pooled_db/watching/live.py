"""``manage.py pools --watch``: the same again and again, in one place of the screen."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NoReturn, Protocol, cast

from . import tables

#: Goes to the terminal's upper left corner; clears the rest of a line, of the screen.
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

Look = Callable[[], dict[str, Any]]


class Output(Protocol):
    def write(self, text: str) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


def watch(look: Look, seconds: float, output: Output) -> None:
    """Show what *look* returns again and again, with rich if it is there.

    SIGTERM ends it as Ctrl-C does, so that the terminal gets its screen back.
    """
    if not output.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        while True:
            output.write(tables.text(look()) + "\n")
            output.flush()
            time.sleep(seconds)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        from rich.console import Console, ConsoleDimensions
        from rich.live import Live
    except ImportError:
        _watch_plainly(look, seconds, output)
    # It is a terminal: rich would ask variables of the environment that it alone
    # knows, and show nothing at all if one of them says no.
    console = Console(file=cast("IO[str]", output), force_terminal=True)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            console.size = ConsoleDimensions(*tables.terminal_size())
            live.update(_coloured(fitting(look())), refresh=True)
            time.sleep(seconds)


def _watch_plainly(look: Look, seconds: float, output: Output) -> NoReturn:
    output.write(HOME + CLEAR_BELOW)
    while True:
        # Over what was there, which flickers less than to clear it first.
        lines = [line.text + CLEAR_LINE for line in fitting(look())]
        output.write(HOME + "\n".join(lines) + CLEAR_BELOW)
        output.flush()
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    is_head: bool = False
    is_wrong: bool = False


def fitting(seen: dict[str, Any]) -> list[Line]:
    """Return as many lines as the terminal has, with what is wrong above the rest."""
    size = tables.terminal_size()
    parts = tables.parts(seen, size.columns)
    parts.sort(key=lambda part: not part.is_wrong)
    lines: list[Line] = []
    for part in parts:
        lines += [Line("")] if lines else []
        lines += [
            Line(text, part.is_table and not number, part.is_wrong)
            for number, text in enumerate(part.lines)
        ]
    room = max(1, size.lines - 1)  # the last one is the cursor's
    return lines if len(lines) <= room else [*lines[: room - 1], Line("…")]


def _coloured(lines: list[Line]) -> Any:
    from rich.text import Text

    text = Text(no_wrap=True)
    for line in lines:
        style = "bold red" if line.is_wrong else "bold" if line.is_head else ""
        text.append(f"{line.text}\n", style)
    return text
