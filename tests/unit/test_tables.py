"""What ``manage.py pools`` prints fits the terminal, and goes on being printed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import MySQLdb
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from pooled_db import PoolTimeout
from pooled_db.exceptions import Reason
from pooled_db.management.commands import pools as command
from pooled_db.pool.host import Host, Process, ProcessPool
from pooled_db.pool.reading import Held
from pooled_db.pool.stats import PoolStats
from pooled_db.watching import live, tables
from pooled_db.watching.advice import Advice
from pooled_db.watching.load import Load
from pooled_db.watching.overview import overview
from pooled_db.watching.server_view import Account, Busy, ServerView, ask_pooled

WHO = "POST /buy/<int:event_id> (shop.views.buy)"
LOANS = 12


@pytest.fixture
def seen() -> dict[str, Any]:
    stats = PoolStats(limit=LOANS, in_use=LOANS, at_work=LOANS, waiting=3, refused=17)
    loans = tuple(Held(n, WHO, n / 10, None, True, 9.0) for n in range(1, LOANS + 1))
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
    def isatty(self) -> bool:
        return True


def test_no_name_begins_a_line_or_commands_the_terminal() -> None:
    odd = 'a "quoted"\nalias\x1b[2J\u2028, größer'
    pool = ProcessPool(odd, PoolStats(limit=1), (), {})
    process = Process(4711, "here", "gunicorn", 0.0, {odd: pool})
    view = ServerView(max_connections=12, accounts=(Account(odd, odd, 1, 0),))
    printed = tables.text(overview(Host((process,)), {odd: view}))
    assert all(line.isprintable() for line in printed.split("\n"))
    assert len(printed.split("\n")) == 3 + 1 + 1 + 1 + 2


def test_no_process_began_after_now() -> None:
    """The clock may have been set back since."""
    pool = ProcessPool("default", PoolStats(limit=1), (), {})
    process = Process(4711, "here", "gunicorn", time.time() + 60, {"default": pool})
    assert "  0:00:00  " in tables.text(overview(Host((process,)), {}))


@pytest.mark.parametrize("width", [200, 132, 100, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal(seen: dict[str, Any], width: int) -> None:
    lines = tables.text(seen, width).splitlines()
    assert max(map(len, lines)) <= width
    # What it is for stays: who is it, how many, who waits, who is refused.
    head = lines[0].split()
    assert {"pid", "in", "use", "waiting", "refused"} <= {*head}
    assert any("POST /buy" in line for line in lines)


def test_what_is_not_read_in_a_terminal_is_whole(seen: dict[str, Any]) -> None:
    told = tables.text(seen)
    assert told.count(WHO) == LOANS
    assert "mean use" in told
    assert "…" not in told


def test_what_the_server_says_is_told_or_why_it_says_nothing() -> None:
    process = Process(4711, "here", "gunicorn", 0.0, {})
    views = {
        "default": ServerView(
            max_connections=151, max_used=21, connected=4, running=2, refused=3
        ),
        "reports": ServerView(error="the server cannot be reached (error 2002)"),
    }
    told = tables.text(overview(Host((process,)), views))
    assert (
        "The server of 'default': 4 connections now, 21 at most, of 151 "
        "(max_connections); 3 refused for want of room; 2 threads running." in told
    )
    assert (
        "The server of 'reports' cannot be asked: the server cannot be reached "
        "(error 2002)." in told
    )


def test_a_server_that_says_nothing_is_told_without_numbers() -> None:
    """Nor is any pool too large for it."""
    pool = ProcessPool("default", PoolStats(limit=LOANS), (), {})
    process = Process(4711, "here", "gunicorn", 0.0, {"default": pool})
    views = {"default": ServerView(error="the server cannot be reached (error 2002)")}
    told = overview(Host((process,)), views)
    assert (told["status"], told["findings"]) == (0, [])
    assert told["servers"]["default"] == {
        **dict.fromkeys(("max_connections", "max_used", "connected"), 0),
        **dict.fromkeys(("running", "refused"), 0),
        "accounts": (),
        "error": "the server cannot be reached (error 2002)",
        "server": "",
    }


def test_why_nobody_was_asked_needs_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PoolTimeout("default", Reason.TIMEOUT, 0.1, 4, 4, 1)

    monkeypatch.setattr(connections["default"], "ensure_connection", refuse)

    assert ask_pooled("default").error == "PoolTimeout"


def test_tables_have_heads_and_only_findings_are_wrong(seen: dict[str, Any]) -> None:
    parts = tables.parts(seen, 80)
    kinds = [(part.is_table, part.is_wrong) for part in parts]
    assert kinds == sorted(kinds, key=lambda kind: kind[1])
    assert {*kinds} == {(True, False), (False, False), (False, True)}
    assert all(len(part.lines) > 1 for part in parts if part.is_table)


@pytest.mark.parametrize(("columns", "rows"), [(132, 50), (80, 24), (40, 12), (20, 2)])
def test_the_screen_is_filled_and_never_scrolls(
    seen: dict[str, Any], terminal: Any, columns: int, rows: int
) -> None:
    terminal(columns, rows)
    lines = live.fitting(seen)
    assert len(lines) <= rows - 1
    # What is wrong comes first.
    assert lines[0].is_wrong or rows == 2
    cut = len(lines) < len(tables.text(seen, columns).splitlines())
    assert (lines[-1].text == "…") is cut


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
    monkeypatch.setattr("time.sleep", lambda _: None)
    looks = iter([seen, seen, seen])

    def look() -> dict[str, Any]:
        try:
            return next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(KeyboardInterrupt):
            live.watch(look, 1.0, screen)
    finally:
        signal.signal(signal.SIGTERM, sigterm)
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


def test_where_nobody_looks_on_it_is_printed_one_after_the_other(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    pipe = io.StringIO()
    looks = iter([seen, seen])
    with pytest.raises(StopIteration):
        live.watch(lambda: next(looks), 1.0, pipe)
    assert pipe.getvalue() == 2 * (tables.text(seen) + "\n")


def test_who_cannot_be_asked_is_asked_once_and_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[None] = []

    def fail() -> None:
        asked.append(None)
        raise MySQLdb.OperationalError(2002, "no server")

    monkeypatch.setattr(connections["default"], "open_connection", fail)
    with contextlib.closing(Busy()) as busy:
        assert busy("default") is None
        assert busy("default") is None
    assert len(asked) == 1


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Host:
    """What the command sees, of an alias that is in the settings no more."""
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "none")}
    loan = Held(11, WHO, 1.0, None, True, 9.0)
    pool = ProcessPool("former", PoolStats(limit=1, in_use=1, at_work=1), (loan,), {})
    host = Host((Process(4711, "here", "gunicorn", 0.0, {"former": pool}),))
    monkeypatch.setattr(command, "_host", lambda: host)
    return host


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("is_read", [False, True])
def test_the_command_cuts_lines_for_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    size = os.terminal_size((40, 24))
    monkeypatch.setattr(command, "get_terminal_size", lambda: size)
    told = Terminal() if is_read else io.StringIO()
    with pytest.raises(SystemExit):
        call_command("pools", "--no-server", stdout=told)
    lines = told.getvalue().splitlines()
    assert (max(map(len, lines)) <= 40) is is_read
    assert any(WHO in line for line in lines) is not is_read


@pytest.mark.usefixtures("one_process")
def test_nobody_is_asked_of_an_alias_that_is_in_the_settings_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def measure(look: Any, seconds: float, ask: Any) -> dict[str, Any]:
        asked.append(ask("former"))
        return {}

    monkeypatch.setattr(command, "measure", measure)
    with pytest.raises(SystemExit) as ended:
        call_command("pools", "--advise=1", stdout=io.StringIO())
    assert (ended.value.code, asked) == (0, [None])


@pytest.mark.parametrize(
    ("size", "is_slow", "told"),
    [
        (4, False, "pool_size 4 for each process"),
        (None, True, "the database is slow"),
        (None, False, "no advice"),
    ],
)
def test_an_advice_begins_with_what_to_do(
    size: int | None, is_slow: bool, told: str
) -> None:
    load = Load(1.0, 1, 4, 0, 0, 0.0, 0.0, 0.0)
    given = Advice("default", size, load, "This is why.", is_slow)
    assert tables.advice(given) == f"'default': {told}. This is why."


def test_a_setting_that_is_wrong_is_said_without_a_traceback(settings: Any) -> None:
    settings.POOLED_DB = {"STATE_DIR": "not absolute"}
    with pytest.raises(CommandError, match="STATE_DIR") as ended:
        call_command("pools")
    assert ended.value.returncode == 2


def test_for_programs_it_is_a_line_each_time(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "none")}
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    told = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("pools", "--watch=7", "--json", "--no-server", stdout=told)

    assert ended.value.code == 0
    lines = filter(None, told.getvalue().splitlines())
    assert [json.loads(line)["status"] for line in lines] == [2] * 3
    assert pauses == [7.0] * 3
