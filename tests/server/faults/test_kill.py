"""Somebody ends connections and statements on the server while the site works."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import MySQLdb
import pytest

from tests.database_server import SERVER
from tests.harness.server import Server
from tests.server.faults.conftest import Distant
from tests.server.faults.crowd import Crowd, assert_own_answers

Serve = Callable[..., Distant]

both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
NO_SUCH_CONNECTION = 1094


@contextlib.contextmanager
def killer(server: Server, kill: str) -> Iterator[Counter[str]]:
    """Run `KILL ...` against the site's connections, chosen by chance."""
    killed: Counter[str] = Counter()
    stop = threading.Event()

    def run() -> None:
        with contextlib.closing(server.admin()) as admin:
            while not stop.wait(0.05):
                processes = server.process_list()
                if not processes:
                    continue
                victim = random.choice(processes)
                try:
                    admin.cursor().execute(f"KILL {kill} {victim['id']}")
                except MySQLdb.OperationalError as error:
                    if error.args[0] != NO_SUCH_CONNECTION:
                        raise
                else:
                    killed[victim["command"]] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


@both
@pytest.mark.parametrize(
    ("kill", "allowed"),
    [
        ("CONNECTION", {200, 503}),
        pytest.param(
            "HARD CONNECTION",
            {200, 503},
            marks=pytest.mark.skipif(
                not SERVER.is_mariadb, reason="MySQL knows one way to kill"
            ),
        ),
        # An interrupted statement is an error of the view's, as with Django alone.
        ("QUERY", {200, 500, 503}),
    ],
)
def test_kills_under_load_harm_only_those_whom_they_hit(
    distant: Serve, kind: str, kill: str, allowed: set[int]
) -> None:
    here = distant(kind)
    with (
        Crowd(here.site, "/token?n=3", clients=12) as crowd,
        killer(here.server, kill) as killed,
    ):
        until = time.monotonic() + 3.0
        while time.monotonic() < until or killed["Query"] < 10:
            assert time.monotonic() < until + 30, killed
            crowd.wait_for(10)

    statuses = Counter(told.answer.status for told in crowd.told)
    assert set(statuses) <= allowed, statuses
    assert_own_answers(crowd.told)
    hit = [
        told
        for told in crowd.told
        if told.answer.status == 500
        or (told.answer.status == 503 and told.reason == "connection_lost")
    ]
    assert len(hit) <= sum(killed.values())
    # MySQL's SLEEP() only ends early when its statement is killed.
    assert hit or (kill == "QUERY" and not SERVER.is_mariadb)
