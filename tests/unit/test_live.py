"""``manage.py pools --watch``: what is shown in the place of what was shown before."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pooled_db.pool.host import Host, Process, ProcessPool
from pooled_db.pool.reading import Held
from pooled_db.pool.stats import PoolStats
from pooled_db.watching import live, tables
from pooled_db.watching.overview import overview
from pooled_db.watching.server_view import Account, ServerView


@pytest.fixture
def seen() -> dict[str, Any]:
    stats = PoolStats(limit=12, in_use=12, at_work=12)
    loans = tuple(
        Held(n, "POST /buy (shop.views.buy)", n / 10, None, True, 9.0)
        for n in range(1, 13)
    )
    pool = ProcessPool("default", stats, loans, {})
    process = Process(4711, "here", "gunicorn", 0.0, {"default": pool})
    view = ServerView(max_connections=12, accounts=(Account("shop", "web1", 12, 12),))
    return overview(Host((process,)), {"default": view})


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    def has(columns: int, lines: int) -> None:
        size = os.terminal_size((columns, lines))
        monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: size)

    return has


class Terminal(io.StringIO):
    """Shows what it has been told to."""

    shown = ""

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.shown = self.getvalue()


class Pipe(Terminal):
    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize(("columns", "rows"), [(132, 50), (80, 24), (40, 12), (20, 2)])
def test_the_screen_is_filled_and_never_scrolls(
    seen: dict[str, Any], terminal: Any, columns: int, rows: int
) -> None:
    terminal(columns, rows)
    lines = live.fitting(seen)
    assert len(lines) <= rows - 1
    assert max(len(line.text) for line in lines) <= columns
    # What is wrong comes first.
    assert lines[0].is_wrong or rows == 2
    cut = len(lines) < len(tables.text(seen, columns).splitlines())
    assert (lines[-1].text == "…") is cut
    assert len(lines) == rows - 1 or not cut


def test_what_fits_exactly_is_shown_whole_with_the_heads_of_tables(
    seen: dict[str, Any], terminal: Any
) -> None:
    terminal(132, 100)
    lines = live.fitting(seen)
    heads = [line.text.split()[0] for line in lines if line.is_head]
    assert heads == ["pid", "pid", "account"]
    terminal(132, len(lines) + 1)
    assert live.fitting(seen) == lines
    terminal(132, len(lines))
    assert live.fitting(seen) == [*lines[:-2], live.Line("…")]
    terminal(132, 1)
    assert live.fitting(seen) == [live.Line("…")]


@pytest.mark.parametrize(
    ("columns", "rows", "taken_for"),
    [(0, 0, (80, 24)), (0, 30, (80, 30)), (132, 0, (132, 24)), (132, 30, (132, 30))],
)
def test_a_terminal_that_nobody_has_told_its_size_has_80_columns_and_24_lines(
    terminal: Any, columns: int, rows: int, taken_for: tuple[int, int]
) -> None:
    """As on a serial line. Python 3.10 says 0 of one."""
    terminal(columns, rows)
    assert tables.terminal_size() == taken_for
    lines = live.fitting(overview(Host(), {}))
    assert max(len(line.text) for line in lines) <= taken_for[0]


#: What a user's shell, a CI or a test runner may have set.
ENVIRONMENTS = [
    {},
    {"FORCE_COLOR": ""},
    {"TTY_COMPATIBLE": "0"},
    {"LINES": "1", "COLUMNS": "1"},
    {"NO_COLOR": "1"},
]


@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=str)
@pytest.mark.parametrize("rich", [True, False])
def test_it_is_shown_again_and_again(
    seen: dict[str, Any],
    terminal: Any,
    rich: bool,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    terminal(80, 24)
    screen = Terminal()
    if rich:
        pytest.importorskip("rich")
        monkeypatch.setenv("TERM", "xterm")
    else:
        monkeypatch.setitem(sys.modules, "rich.live", None)
    pauses: list[float] = []
    threads = threading.enumerate()

    def look() -> dict[str, Any]:
        if len(pauses) == 3:
            signal.raise_signal(signal.SIGTERM)
        return seen

    def sleep(seconds: float) -> None:
        # Nobody else draws what is there already.
        assert threading.enumerate() == threads
        assert screen.shown == screen.getvalue() != ""
        pauses.append(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            live.watch(look, 7.0, screen)
    finally:
        signal.signal(signal.SIGTERM, sigterm)
    assert (ended.value.code, pauses) == (128 + 15, [7.0] * 3)
    frames = screen.getvalue().split(live.HOME)
    assert sum("4711" in frame for frame in frames) == 3
    if not rich:
        assert all(frame.count("\n") <= 24 for frame in frames)
        assert not re.search("\x1b\\[[0-9]+m", screen.getvalue())


def test_what_is_wrong_is_red_and_no_line_goes_on_in_the_next() -> None:
    pytest.importorskip("rich")
    lines = [live.Line("wrong", is_wrong=True), live.Line("head", is_head=True)]
    text = live._coloured([*lines, live.Line("other")])
    assert text.plain == "wrong\nhead\nother\n"
    assert [(span.start, span.style) for span in text.spans] == [
        (0, "bold red"),
        (6, "bold"),
    ]
    assert text.no_wrap


@pytest.mark.parametrize(
    ("output", "terminal"),
    [(Pipe(), "xterm"), (Terminal(), "dumb"), (Terminal(), "unknown")],
)
def test_where_nothing_can_be_moved_it_is_printed_one_after_the_other(
    seen: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    output: Terminal,
    terminal: str,
) -> None:
    pauses: list[float] = []
    once = tables.text(seen) + "\n"

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        assert output.shown == len(pauses) * once

    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr("time.sleep", sleep)
    looks = iter([seen, seen])
    with pytest.raises(StopIteration):
        live.watch(lambda: next(looks), 7.0, output)
    assert (pauses, output.getvalue()) == ([7.0] * 2, 2 * once)


def test_another_thread_can_show_it_and_leaves_signals_alone(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    terminal(80, 24)
    monkeypatch.setitem(sys.modules, "rich.live", None)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("time.sleep", lambda _: None)
    sigterm = signal.getsignal(signal.SIGTERM)
    looks = iter([seen])

    def look() -> dict[str, Any]:
        for one in looks:
            return one
        raise LookupError

    with ThreadPoolExecutor(1) as thread:
        watching = thread.submit(live.watch, look, 7.0, Terminal())
        assert isinstance(watching.exception(), LookupError)
    assert signal.getsignal(signal.SIGTERM) is sigterm
