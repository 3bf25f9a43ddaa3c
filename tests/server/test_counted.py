"""What clients of a served site meet is counted as often, where others can read it."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pooled_db.pool import host
from pooled_db.pool.stats import PoolStats
from tests.harness import load
from tests.harness.load import Plan, Request
from tests.harness.processes import free_port, poll
from tests.harness.server import Server
from tests.sites import Answer, Site

#: How often each thing is provoked.
K = 6

JSON = {"Accept": "application/json"}


@dataclass
class Counted:
    """A site, and the numbers that its process keeps."""

    site: Site
    directory: Path

    def stats(self) -> PoolStats:
        return host.look(self.directory).totals()["default"]

    def refused(self) -> dict[str, int]:
        return {why: n for why, n in self.stats().refused_by.items() if n}

    def closed(self) -> dict[str, int]:
        return {why: n for why, n in self.stats().closed.items() if n}

    def is_held(self) -> bool:
        totals = host.look(self.directory).totals()
        return "default" in totals and totals["default"].at_work == 1

    def ask(self, path: str) -> Answer:
        return self.site.get(path, headers=JSON)


Serve = Callable[..., Counted]


@pytest.fixture
def serve(site: Callable[..., Site], tmp_path: Path) -> Serve:
    def start(kind: str = "gunicorn", **given: Any) -> Counted:
        directory = tmp_path / "state"
        state = {"EXEMPT": ["^exempt/"], "STATE_DIR": str(directory)}
        return Counted(site(kind, POOLED_DB=state, **given), directory)

    return start


@contextlib.contextmanager
def held(counted: Counted, server: Server) -> Iterator[None]:
    """Let a request hold a connection meanwhile."""
    with server.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('turn', 10)")
        with ThreadPoolExecutor(1) as threads:
            holder = threads.submit(counted.site.get, "/take-turn")
            try:
                assert poll(counted.is_held)
                yield
            finally:
                cursor.execute("DO RELEASE_LOCK('turn')")
            assert holder.result().status == 200


KINDS = ["gunicorn", "uvicorn"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("reason", "pool"),
    [
        ("timeout", {"timeout": 0.05, "queue_target": None}),
        ("queue_full", {"timeout": 30, "max_waiting": 0}),
    ],
)
def test_who_finds_every_connection_held(
    serve: Serve, server: Server, kind: str, reason: str, pool: dict[str, Any]
) -> None:
    counted = serve(kind, pool={"pool_size": 1, **pool})
    with held(counted, server):
        answers = [counted.ask("/queries") for _ in range(K)]
    assert [one.status for one in answers] == [503] * K
    assert {json.loads(one.body)["reason"] for one in answers} == {reason}
    assert counted.refused() == {reason: K}


@pytest.mark.parametrize(
    ("reason", "path"), [("stalled", "/autonomous"), ("connection_lost", "/kill-self")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_who_cannot_go_on(serve: Serve, kind: str, reason: str, path: str) -> None:
    counted = serve(kind, pool={"pool_size": 1, "timeout": 30})
    for _ in range(K):
        answer = counted.ask(path)
        assert (answer.status, json.loads(answer.body)["reason"]) == (503, reason)
    assert counted.refused() == {reason: K}
    lost = {"dead": K} if reason == "connection_lost" else {}
    assert poll(lambda: counted.closed() == lost), counted.closed()


@pytest.mark.parametrize("kind", KINDS)
def test_who_finds_no_server(
    serve: Serve, kind: str, site_database: dict[str, Any]
) -> None:
    nowhere = {**site_database, "HOST": "127.0.0.1", "PORT": free_port()}
    counted = serve(kind, database=nowhere)
    for _ in range(K):
        answer = counted.ask("/queries")
        assert (answer.status, json.loads(answer.body)["reason"]) == (
            503,
            "unavailable",
        )
    assert counted.refused() == {"unavailable": K}
    assert counted.stats().opened == 0


@pytest.mark.parametrize("kind", KINDS)
def test_under_overload_each_refusal_that_a_client_saw(serve: Serve, kind: str) -> None:
    pool = {"pool_size": 2, "timeout": 1.0, "queue_target": 0.02}
    counted = serve(kind, pool=pool, threads=48)
    overloaded = []

    def note(elapsed: float, counts: Counter[int]) -> None:
        overloaded.append(counted.stats().overloaded)

    request = Request("/sleep?seconds=0.05", headers=JSON)
    counted.ask("/queries")
    report = load.run(
        Plan(counted.site.server.url, (request,), 40, None, 4), progress=note
    )
    assert report.counts[200] + report.counts[503] == len(report)
    assert report.reasons["overloaded"]
    assert counted.refused() == dict(report.reasons)
    assert counted.stats().checkouts == report.counts[200] + 1
    # It was told while it went on, and no longer once it is over.
    assert any(overloaded)
    assert not counted.stats().overloaded


def test_sessions_that_are_made_as_new(serve: Serve) -> None:
    counted = serve(pool={"pool_size": 1})
    for _ in range(K):
        assert counted.site.get("/ask-twice?seconds=0&sql=SELECT%201").status == 200
    assert counted.stats().resets == 0
    for _ in range(K):
        dirty = "/ask-twice?seconds=0&sql=SELECT%20@a:=1"
        assert counted.site.get(dirty).status == 200
    assert poll(lambda: counted.stats().resets == K), counted.stats()
    assert (counted.closed(), counted.stats().opened) == ({}, 1)


def test_connections_that_are_too_old(serve: Serve) -> None:
    counted = serve(pool={"pool_size": 1, "recycle": 0.05})
    for _ in range(K + 1):
        assert counted.site.get("/queries").status == 200
        time.sleep(0.06)
    assert counted.closed() == {"recycled": K}


def test_connections_that_the_server_has_closed(serve: Serve, server: Server) -> None:
    counted = serve(pool={"pool_size": 1})
    database = server.database("pooled_site")["NAME"]

    def ours() -> list[int]:
        return [one["id"] for one in server.process_list() if one["db"] == database]

    for _ in range(K):
        assert counted.site.get("/queries").status == 200
        for number in ours():
            server.ask("KILL %s", number)
        assert poll(lambda: not ours())
    assert counted.site.get("/queries").status == 200
    assert counted.closed() == {"dead": K}


def test_the_waits_are_those_that_clients_measured(
    serve: Serve, server: Server
) -> None:
    """They are no longer than clients wait, and no shorter than clients are seen to."""
    counted = serve(pool={"pool_size": 1, "timeout": 60, "queue_target": None})
    counted.site.get("/queries")
    before = counted.stats().waits

    def ask() -> float:
        began = time.monotonic()
        assert counted.site.get("/queries").status == 200
        return time.monotonic() - began

    with ThreadPoolExecutor(K) as clients:
        with held(counted, server):
            asking = [clients.submit(ask) for _ in range(K)]
            assert poll(lambda: counted.stats().waiting == K)
            seen = time.monotonic()
            time.sleep(1.0)
            waiting = time.monotonic() - seen
        latencies = [client.result() for client in asking]
    waits = counted.stats().waits
    assert K * waiting <= waits.sum - before.sum <= sum(latencies)
    assert waits.count - before.count == K + 1
