"""What ``manage.py pools`` prints fits the terminal, and nothing in it commands one."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import MySQLdb
import pytest
from django.db import connections

from pooled_db import PoolTimeout
from pooled_db.exceptions import Reason
from pooled_db.pool.host import Host, Process, ProcessPool
from pooled_db.pool.reading import Held
from pooled_db.pool.stats import BOUNDS, Histogram, PoolStats
from pooled_db.watching import tables
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
    host_name = "web1.shop.internal.example.com"
    account = Account("shop_of_the_first_tenant", host_name, 12, 12)
    view = ServerView(max_connections=12, accounts=(account,))
    return overview(Host((process,)), {"default": view})


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
    nobody = tables.text(overview(Host(), {}), width).splitlines()
    assert max(map(len, nobody)) <= width
    # What it is for stays: who is it, how many, who waits, who is refused.
    head = lines[0].split()
    assert {"pid", "in", "use", "waiting", "refused"} <= {*head}
    assert any("POST /buy" in line for line in lines)


def test_a_narrow_terminal_does_without_the_columns_that_matter_least(
    seen: dict[str, Any],
) -> None:
    def heads(width: int | None) -> list[str]:
        lines = tables.text(seen, width).splitlines()
        return [line for line in lines if line.startswith("pid")]

    whole, *_ = heads(None)
    assert heads(len(whole) - 1)[0] == re.sub("up +", "", whole)
    assert heads(30) == ["pid   in use  waiting  refused", "pid   by"]
    # Of who it is that holds a connection at least 24 characters are seen.
    state = len("at work, in transaction")
    assert heads(4 + 2 + state + 2 + 24)[1].split() == ["pid", "state", "by"]
    assert heads(4 + 2 + state + 2 + 23)[1].split() == ["pid", "by"]


@pytest.mark.parametrize(
    ("width", "told"), [(1, "…"), (2, "a…"), (3, "abc"), (4, "abc"), (None, "abc")]
)
def test_what_is_cut_ends_with_an_ellipsis(width: int | None, told: str) -> None:
    assert tables.cut("abc", width) == told


def test_all_there_is_to_see_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def times(count: int, total: float) -> Histogram:
        return Histogram((count, *(0,) * len(BOUNDS)), total)

    busy = PoolStats(
        limit=8,
        in_use=3,
        at_work=1,
        idle=4,
        peak=7,
        refused=17,
        waiting=2,
        oldest_wait=0.314,
        waits=times(4, 6.0),
    )
    held = (
        Held(9120, WHO, 0.5, None, True, 1.0),
        Held(9121, "", 12.3, 0.1, False, 1.0),
        Held(9122, "GET / (home)", 2.0, 0.1, False, 1.0),
        Held(9123, "", None, None, False, 1.0),
    )
    pools = {"default": ProcessPool("default", busy, held, {})}
    calm = {"default": ProcessPool("default", PoolStats(limit=8), (), {})}
    monkeypatch.setattr(time, "time", lambda: 100_000.9)
    host = Host(
        (
            Process(4711, "here", "gunicorn", 100_000.0 - 3731, pools),
            Process(812, "here", "celery", 100_000.0, calm),
        )
    )
    view = ServerView(
        max_connections=16, accounts=(Account("shop", "web1", 12, 3),), server="db1"
    )
    seen = overview(host, {"default": view})

    head, first, second, together, *others = tables.text(seen).split("\n")
    assert head == (
        "pid   program   up       alias    limit  in use  at work  idle  waiting  "
        "oldest  peak  refused  mean wait  mean use"
    )
    assert first == (
        "4711  gunicorn  1:02:11  default  8      3       1        4     2        "
        "0.31 s  7     17       1500.0 ms"
    )
    assert second == (
        "812   celery    0:00:00  default  8      0       0        0     0        "
        "        0     0"
    )
    assert together == (
        "all                      default  16     3       1        4     2        "
        "0.31 s  7     17       1500.0 ms"
    )
    unknown = "a request that has not used it yet"
    server = (
        "The server of 'default': 0 connections now, 0 at most, of 16 "
        "(max_connections); 0 refused for want of room; 0 threads running."
    )
    finding = (
        "'default' is over budget: 2 processes on each of 1 hosts may open 16 "
        "connections, and the server's max_connections is 16."
    )
    assert others == [
        "",
        "pid   alias    connection  held for  state                    by",
        f"4711  default  9120        0.50 s    at work, in transaction  {WHO}",
        f"4711  default  9121        12.30 s   ready                    {unknown}",
        "4711  default  9122        2.00 s    at rest                  GET / (home)",
        "",
        server,
        "",
        "account  host  connections  at work",
        "shop     web1  12           3",
        "",
        finding,
    ]
    (process, _) = seen["processes"]
    assert process["pools"]["default"]["idle_connections"] == [9123]


def test_twenty_loans_are_listed() -> None:
    loans = tuple(Held(n, WHO, 1.0, None, False, 9.0) for n in range(21))
    pool = ProcessPool("default", PoolStats(limit=21), loans, {})
    process = Process(4711, "here", "gunicorn", 0.0, {"default": pool})
    assert tables.text(overview(Host((process,)), {})).count(WHO) == 20


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
    # Nobody but the one that asked is connected.
    assert "account" not in told


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
