"""``manage.py pools``: what its arguments do, and what it ends with."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from pooled_db.management.commands import pools as command
from pooled_db.pool.host import Host, Process, ProcessPool
from pooled_db.pool.reading import Held
from pooled_db.pool.stats import PoolStats
from pooled_db.watching import server_view
from pooled_db.watching.load import Load
from pooled_db.watching.server_view import ServerView

WHO = "POST /buy/<int:event_id> (shop.views.buy)"
#: 20 requests a second that hold their connections for 0.1 s.
LOAD = Load(
    seconds=10.0,
    processes=1,
    limit=2,
    checkouts=200,
    refused=0,
    held=20.0,
    waited=0.0,
    at_work=0.5,
)

Run = Callable[..., tuple[object, str]]


@pytest.fixture
def run(settings: Any, tmp_path: Path) -> Run:
    """Call the command; what it ends with, and what it has written."""
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "none")}

    def run(*arguments: str, to: io.StringIO | None = None) -> tuple[object, str]:
        to = to or io.StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("pools", *arguments, stdout=to, stderr=to)
        return ended.value.code, to.getvalue()

    return run


def a_process(monkeypatch: pytest.MonkeyPatch, alias: str) -> None:
    """Have the command see one process with one connection, which is at work."""
    loan = Held(11, WHO, 1.0, None, True, 9.0)
    pool = ProcessPool(alias, PoolStats(limit=50, in_use=1, at_work=1), (loan,), {})
    host = Host((Process(4711, "here", "gunicorn", 0.0, {alias: pool}),))
    monkeypatch.setattr(command, "_host", lambda: host)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    a_process(monkeypatch, "default")


@pytest.fixture
def former_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has a pool of an alias that is in the settings no more."""
    a_process(monkeypatch, "former")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of which aliases a server was asked that takes 100 connections."""
    asked: list[str] = []

    def ask(alias: str) -> ServerView:
        asked.append(alias)
        return ServerView(max_connections=100)

    monkeypatch.setattr(server_view, "ask", ask)
    return asked


class Busy:
    """A server that works for the connection 7, of the default database."""

    is_closed = False

    def __call__(self, alias: str) -> frozenset[int]:
        return frozenset({7} if alias == "default" else ())

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how many seconds the load was watched, without waiting for them."""
    measured: list[float] = []

    def measure(look: object, seconds: float, ask: object) -> dict[str, Load]:
        measured.append(seconds)
        return {"default": LOAD}

    monkeypatch.setattr(command, "measure", measure)
    return measured


# What can be given to it.


def test_each_argument_is_explained_as_it_is_documented() -> None:
    words = {
        "--json": "print JSON",
        "--watch [SECONDS]": "show it again and again, every second if not told "
        "otherwise",
        "--advise [SECONDS]": "watch the load for 10 seconds, or so many, and say how "
        "large the pools should be",
        "--hosts N": "on how many hosts as many processes run as on this one",
        "--processes N": "how many processes there are to be on each host, for "
        "--advise",
        "--no-server": "do not ask the database server",
    }
    parser = command.Command().create_parser("manage.py", "pools")
    told = " ".join(parser.format_help().split())
    for argument, explained in words.items():
        assert f"{argument} {explained}" in told


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ("--watch=0", "'0' is not a number of seconds above 0"),
        ("--watch=inf", "'inf' is not a number of seconds above 0"),
        ("--advise=-1", "'-1' is not a number of seconds above 0"),
        ("--advise=x", "'x' is not a number of seconds above 0"),
        ("--hosts=0", "'0' is not a whole number above 0"),
        ("--hosts=1.5", "'1.5' is not a whole number above 0"),
        ("--processes=0", "'0' is not a whole number above 0"),
        ("--processes=many", "'many' is not a whole number above 0"),
    ],
)
def test_what_cannot_be_is_refused(given: str, wrong: str) -> None:
    with pytest.raises(CommandError, match=wrong):
        call_command("pools", given)


@pytest.mark.parametrize("where", [None, "not absolute", "a file"])
def test_where_nothing_can_be_seen_it_says_why_without_a_traceback(
    settings: Any, tmp_path: Path, where: str | None
) -> None:
    (tmp_path / "a file").touch()
    settings.POOLED_DB = {
        "STATE_DIR": str(tmp_path / where) if where == "a file" else where
    }
    words = {
        None: r'^POOLED_DB\["STATE_DIR"\] is None: no process tells of its pools\.$',
        "not absolute": "STATE_DIR",
        "a file": "^The state of the processes cannot be read: ",
    }
    with pytest.raises(CommandError, match=words[where]) as ended:
        call_command("pools")
    assert ended.value.returncode == 2


# What it shows.


@pytest.mark.usefixtures("former_alias")
@pytest.mark.parametrize("is_read", [False, True])
def test_lines_are_cut_for_a_terminal_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    size = os.terminal_size((40, 24))
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: size)
    output = io.StringIO()
    monkeypatch.setattr(output, "isatty", lambda: is_read)
    _, told = run("--no-server", to=output)
    lines = told.splitlines()
    assert (max(map(len, lines)) <= 40) is is_read
    assert any(WHO in line for line in lines) is not is_read


@pytest.mark.usefixtures("one_process")
def test_it_is_one_host_unless_more_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        server_view, "ask", lambda alias: ServerView(max_connections=50)
    )
    status, told = run()
    assert status == 1
    assert "1 processes on each of 1 hosts may open 50 connections" in told


@pytest.mark.usefixtures("one_process")
def test_as_many_hosts_as_are_named_count_against_what_the_server_takes(
    run: Run, asked: list[str]
) -> None:
    assert run()[0] == 0
    status, told = run("--hosts", "2")
    assert status == 1
    assert "may open 100 connections, and the server's max_connections is 100" in told
    assert asked == ["default"] * 2
    assert run("--hosts", "2", "--no-server")[0] == 0
    assert asked == ["default"] * 2


def test_for_programs_it_is_a_line_each_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    status, told = run("--watch=7", "--json", "--no-server")

    assert status == 0
    lines = filter(None, told.splitlines())
    assert [json.loads(line)["status"] for line in lines] == [2] * 3
    assert pauses == [7.0] * 3


def test_in_a_terminal_it_is_every_second_in_the_same_place(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "rich.live", None)
    monkeypatch.setattr("time.sleep", sleep)
    output = io.StringIO()
    monkeypatch.setattr(output, "isatty", lambda: True)
    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        status, told = run("--watch", "--no-server", to=output)
    finally:
        signal.signal(signal.SIGTERM, sigterm)
    assert (status, pauses) == (0, [1.0])
    home, clear = "\x1b[H", "\x1b[J"
    # No line ends that is none: the screen would scroll.
    assert told.startswith(home + clear + home + "No process of this site")
    assert told.endswith(clear + "\n")


@pytest.mark.parametrize("shows_all", [True, False])
def test_what_an_output_cannot_show_is_replaced(
    run: Run, monkeypatch: pytest.MonkeyPatch, shows_all: bool
) -> None:
    a_process(monkeypatch, "größe")
    output = io.StringIO() if shows_all else io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", output)
    with pytest.raises(SystemExit):
        call_command("pools", "--no-server")
    output.seek(0)
    told = output.read()
    assert ("  größe  " in told, "  gr??e  " in told) == (shows_all, not shows_all)


@pytest.mark.usefixtures("run")
def test_whoever_has_read_enough_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As ``manage.py pools --watch --json | head -1`` does."""

    def sleep(seconds: float) -> None:
        raise AssertionError("each line is written at once")

    monkeypatch.setattr("time.sleep", sleep)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        call_command("pools", "--watch", "--json", "--no-server")


@pytest.mark.usefixtures("run", "one_process")
def test_no_check_of_the_project_is_in_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*args: object, **kwargs: object) -> None:
        raise AssertionError("it may ask the database")

    monkeypatch.setattr(command.Command, "check", check)
    with pytest.raises(SystemExit) as ended:
        command.Command().run_from_argv(["manage.py", "pools", "--no-server"])
    assert ended.value.code == 0


# What it advises.


@pytest.mark.usefixtures("one_process", "asked")
@pytest.mark.parametrize(("given", "seconds"), [((), 10.0), (("0.5",), 0.5)])
def test_it_watches_for_ten_seconds_and_says_how_large_pools_should_be(
    run: Run, measured: list[float], given: tuple[str, ...], seconds: float
) -> None:
    status, told = run("--advise", *given)
    assert (status, measured) == (0, [seconds])
    (line,) = told.splitlines()
    assert line.startswith("'default': pool_size 2 for each process. ")


@pytest.mark.usefixtures("one_process", "measured")
@pytest.mark.parametrize(
    ("given", "calculated"),
    [
        (("--hosts=1", "--processes=1"), None),
        (("--hosts=49",), None),
        (("--hosts=50",), "50 x 1 x 2 = 100"),
        (("--hosts=50", "--processes=2"), "50 x 2 x 1 = 100"),
        (("--hosts=50", "--no-server"), None),
    ],
)
def test_it_advises_no_more_than_the_server_takes(
    run: Run, asked: list[str], given: tuple[str, ...], calculated: str | None
) -> None:
    _, told = run("--advise", *given)
    assert asked == ["default"] * ("--no-server" not in given)
    if calculated is None:
        assert "max_connections" not in told
    else:
        assert f"{calculated} is not below the server's max_connections, 100" in told


@pytest.mark.usefixtures("one_process", "measured")
def test_it_advises_without_a_server_that_cannot_be_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_view, "ask", lambda alias: ServerView(error="gone"))
    status, told = run("--advise")
    assert status == 0
    assert "max_connections" not in told


@pytest.mark.usefixtures("one_process", "asked", "measured")
def test_programs_are_told_what_is_needed_too(run: Run) -> None:
    _, told = run("--advise", "--json")
    (advice,) = json.loads(told)
    assert (advice["alias"], advice["pool_size"], advice["needed"]) == ("default", 2, 2)


def test_nobody_is_advised_where_there_is_no_process(
    run: Run, measured: list[float]
) -> None:
    status, told = run("--advise")
    assert (status, measured) == (2, [])
    assert told.startswith("No process of this site has used a pool on this host")


@pytest.mark.usefixtures("former_alias")
def test_nobody_is_asked_of_an_alias_that_is_in_the_settings_no_more(
    run: Run, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(look: object, seconds: float, ask: object) -> dict[str, Load]:
        return {"former": LOAD}

    monkeypatch.setattr(command, "measure", measure)
    assert run()[0] == 0
    assert run("--advise=1")[0] == 0
    assert asked == []


@pytest.mark.usefixtures("one_process", "asked")
@pytest.mark.parametrize("given", [(), ("--no-server",)])
def test_meanwhile_servers_of_pools_are_asked_what_they_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    busy = Busy()
    monkeypatch.setattr(server_view, "Busy", lambda: busy)
    told: list[object] = []

    def measure(look: Any, seconds: float, ask: Any) -> dict[str, Load]:
        assert [one.pid for one in look().processes] == [4711]
        told.append(ask and (ask("default"), ask("former")))
        assert not busy.is_closed
        return {}

    monkeypatch.setattr(command, "measure", measure)
    run("--advise", *given)
    assert told == [None if given else ({7}, None)]
    assert busy.is_closed
