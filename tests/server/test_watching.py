"""Four workers, as another process sees them: the command and Prometheus."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import MySQLdb
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pooled_db.pool import host
from pooled_db.pool.host import Host
from pooled_db.watching import server_view
from tests.harness import load, servers
from tests.harness.load import Plan, Request
from tests.harness.processes import completed, is_stopped, poll, process_tree
from tests.harness.server import Server
from tests.sites import ROOT, Site, site_settings

WORKERS = 4


@dataclass
class Watched:
    """A site with four workers, and the environment of its processes."""

    site: Site
    env: dict[str, str]
    directory: Path

    def look(self) -> Host:
        return host.look(self.directory)

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        return completed(
            [sys.executable, "-m", "django", "pools", *args],
            env={**os.environ, **self.env, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            cwd=ROOT,
        )

    def json(self, *args: str) -> dict[str, Any]:
        done = self.manage("--json", *args)
        assert done.stderr == ""
        told: dict[str, Any] = json.loads(done.stdout)
        assert told["status"] == done.returncode
        return told

    def workers(self) -> list[int]:
        return list(process_tree(self.site.server.pid))[1:]

    def all_are_used(self) -> bool:
        """Whether each worker has opened a connection, once it was asked."""
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda _: self.site.get("/sleep?seconds=0.02"), range(48)))
        return {one.pid for one in self.look().processes} == {*self.workers()}


Serve = Callable[..., Watched]


@pytest.fixture
def serve(site_database: dict[str, Any], tmp_path: Path) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def start(threads: int = 6, **pool: Any) -> Watched:
            directory = tmp_path / "state"
            given = site_settings(
                site_database,
                pool=pool,
                POOLED_DB={"EXEMPT": ["^exempt/"], "STATE_DIR": str(directory)},
            )
            env = {"TEST_SETTINGS": json.dumps(given), "PYTHONWARNINGS": "error"}
            server = stack.enter_context(
                servers.gunicorn(
                    "tests.wsgi:application",
                    workers=WORKERS,
                    threads=threads,
                    env=env,
                    cwd=ROOT,
                )
            )
            watched = Watched(Site(server), env, directory)
            assert poll(watched.all_are_used), watched.look()
            return watched

        yield start


def test_the_command_sees_what_the_server_sees(serve: Serve, server: Server) -> None:
    watched = serve(pool_size=3)
    told = watched.json()

    assert told["status"] == 0
    assert sorted(one["pid"] for one in told["processes"]) == sorted(watched.workers())
    pools = [one["pools"]["default"] for one in told["processes"]]
    assert all(pool["in_use"] == 0 for pool in pools)
    idle = {number for pool in pools for number in pool["idle_connections"]}
    database = server.database("pooled_site")["NAME"]
    listed = {one["id"] for one in server.process_list() if one["db"] == database}
    assert idle == listed
    total = told["totals"]["default"]
    assert (total["limit"], total["idle"]) == (12, len(listed))
    assert told["servers"]["default"]["max_connections"] == 100
    accounts = told["servers"]["default"]["accounts"]
    assert sum(one["connections"] for one in accounts) >= len(listed)


def test_under_load_each_connection_in_use_is_the_servers(
    serve: Serve, server: Server
) -> None:
    watched = serve(pool_size=6)
    database = server.database("pooled_site")["NAME"]
    with server.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('turn', 10)")
        with ThreadPoolExecutor(5) as threads:
            asked = [threads.submit(watched.site.get, "/take-turn") for _ in range(5)]
            in_use: set[int] = set()

            def all_hold() -> bool:
                in_use.clear()
                for process in watched.look().processes:
                    loans = process.pools["default"].loans
                    in_use.update(held.connection_id for held in loans)
                return len(in_use) == 5

            assert poll(all_hold)
            told = watched.json()
            rows = [one for one in server.process_list() if one["db"] == database]
            at_work = {row["id"] for row in rows if row["command"] == "Query"}
            loans = [
                loan
                for process in told["processes"]
                for loan in process["pools"]["default"]["loans"]
            ]
            assert {loan["connection_id"] for loan in loans} == at_work == in_use
            assert {loan["state"] for loan in loans} == {"at work"}
            assert {loan["who"] for loan in loans} == {
                "GET /take-turn (tests.site.views.take_turn)"
            }
            assert told["totals"]["default"]["in_use"] == 5
            assert told["totals"]["default"]["idle"] == len(rows) - 5
            table = watched.manage().stdout
            assert table.count("take_turn") == 5
            cursor.execute("DO RELEASE_LOCK('turn')")
            assert {one.result().status for one in asked} == {200}


def test_a_frozen_worker_is_shown_with_what_it_holds_and_a_killed_one_is_gone(
    serve: Serve, server: Server
) -> None:
    watched = serve(pool_size=3)
    with server.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('turn', 10)")
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(watched.site.get, "/take-turn")
            holders: list[int] = []

            def is_held() -> bool:
                holders[:] = [
                    process.pid
                    for process in watched.look().processes
                    if process.pools["default"].stats.at_work
                ]
                return bool(holders)

            assert poll(is_held)
            (pid,) = holders
            os.kill(pid, signal.SIGSTOP)
            assert poll(lambda: is_stopped(pid))
            told = watched.json()
            (frozen,) = [one for one in told["processes"] if one["pid"] == pid]
            (loan,) = frozen["pools"]["default"]["loans"]
            assert (loan["state"], loan["who"].partition(" (")[0]) == (
                "at work",
                "GET /take-turn",
            )
            before = told["totals"]["default"]
            os.kill(pid, signal.SIGKILL)
            assert poll(lambda: pid not in watched.workers())
            told = watched.json()
            assert pid not in [one["pid"] for one in told["processes"]]
            after = told["totals"]["default"]
            for name in ("opened", "checkouts", "refused"):
                assert after[name] >= before[name]
            with pytest.raises(OSError):  # noqa: PT011 - of several kinds
                asked.result()
            cursor.execute("DO RELEASE_LOCK('turn')")


def metrics(text: str) -> dict[tuple[str, ...], float]:
    """The samples of one scrape: each but once."""
    samples: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = map(str, sorted(sample.labels.items()))
            key = (family.type, sample.name, *labels)
            assert key not in samples
            samples[key] = sample.value
    return samples


def test_no_counter_goes_back_in_fifty_scrapes_while_a_worker_is_restarted(
    serve: Serve,
) -> None:
    watched = serve(pool_size=1, timeout=0.3)
    plan = Plan(watched.site.server.url, (Request("/sleep?seconds=0.02"),), 12, None, 8)
    working = threading.Thread(target=load.run, args=(plan,))
    working.start()
    scrapes = []
    for number in range(50):
        if number == 20:
            os.kill(watched.workers()[0], signal.SIGKILL)
        with contextlib.suppress(OSError):  # of the one that was killed
            answer = watched.site.get("/exempt/metrics")
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain")
            scrapes.append(metrics(answer.body))
    working.join()
    assert poll(watched.all_are_used)  # the new one, too
    scrapes.append(metrics(watched.site.get("/exempt/metrics").body))

    assert len(scrapes) >= 45
    assert len({frozenset(scrape) for scrape in scrapes}) == 1
    for earlier, later in itertools.pairwise(scrapes):
        for key, value in earlier.items():
            if key[0] in ("counter", "histogram"):
                assert later[key] >= value, key
    alias = "('alias', 'default')"
    total = watched.look().totals()["default"]
    last = scrapes[-1]
    assert last["counter", "pooled_db_checkouts_total", alias] == total.checkouts
    assert last["histogram", "pooled_db_use_seconds_count", alias] == total.uses.count
    assert last["gauge", "pooled_db_processes", alias] == WORKERS
    reason = "('reason', 'timeout')"
    refused = last["counter", "pooled_db_refused_total", alias, reason]
    assert refused == total.refused_by["timeout"]


def test_nobody_is_found(serve: Serve, tmp_path: Path) -> None:
    given = site_settings({}, POOLED_DB={"STATE_DIR": str(tmp_path / "none")})
    watched = Watched(None, {"TEST_SETTINGS": json.dumps(given)}, tmp_path)  # type: ignore[arg-type]
    done = watched.manage()
    assert done.returncode == 2
    assert "No process of this site" in done.stdout
    assert watched.json()["processes"] == []


@pytest.mark.parametrize(
    "wrong", ["--watch=0", "--advise=-1", "--hosts=0", "--processes=many", "--advise=x"]
)
def test_what_cannot_be_is_refused_in_one_line(wrong: str, tmp_path: Path) -> None:
    given = site_settings({}, POOLED_DB={"STATE_DIR": str(tmp_path)})
    watched = Watched(None, {"TEST_SETTINGS": json.dumps(given)}, tmp_path)  # type: ignore[arg-type]
    done = watched.manage(wrong)
    assert done.returncode == 2
    assert "above 0" in done.stderr.splitlines()[-1]


def test_who_reads_one_line_of_many_ends_it_quietly(tmp_path: Path) -> None:
    """As ``manage.py pools --watch --json | head -1`` does."""
    given = site_settings({}, POOLED_DB={"STATE_DIR": str(tmp_path)})
    env = {"TEST_SETTINGS": json.dumps(given), "PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        [sys.executable, "-m", "django", "pools", "--watch", "0.01", "--json"],
        env={**os.environ, **env, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert json.loads(watching.stdout.readline())["processes"] == []
        watching.stdout.close()
        assert (watching.stderr.read(), watching.wait()) == ("", 0)


def test_more_than_the_server_takes_is_over_budget(serve: Serve) -> None:
    watched = serve(pool_size=25)
    told = watched.json()
    assert told["status"] == 1
    (finding,) = told["findings"]
    assert "may open 100 connections" in finding
    assert watched.manage("--no-server").returncode == 0
    assert watched.json("--no-server", "--hosts", "2")["servers"] == {}


def test_as_many_are_advised_as_there_are_clients_who_always_want_one(
    serve: Serve,
) -> None:
    # As many threads as clients in each: what stands before a server nobody sees.
    watched = serve(threads=16, pool_size=1, timeout=60, queue_target=None)
    url = watched.site.server.url

    def checkouts() -> int:
        told = watched.json("--no-server")
        return sum(one["pools"]["default"]["checkouts"] for one in told["processes"])

    with load.start(Plan(url, (Request("/sleep?seconds=0.4"),), 8, None, 60)):
        # Until then they have not all waited for one another.
        assert poll(lambda: checkouts() >= 32)
        # Of whoever stands still at one end of it more is counted than there is.
        done = watched.manage("--advise", "8", "--json", "--processes", "1")
    (advice,) = json.loads(done.stdout)
    assert advice["needed"] == pytest.approx(8, abs=1)
    assert not advice["database_is_slow"]
    # They sleep: that is nothing that the server would be slow at. A few looks come as
    # they fall asleep.
    assert advice["load"]["busy"] < 0.25
    assert advice["pool_size"] in (7, 8, 9)


def run(connection: Any, sql: str) -> None:
    with contextlib.suppress(MySQLdb.Error), connection.cursor() as cursor:
        cursor.execute(sql)  # until it is killed


@pytest.mark.django_db(transaction=True)
def test_the_server_works_for_nobody_who_sleeps_or_has_nothing_to_do(
    server: Server,
) -> None:
    server.ask("SELECT GET_LOCK('busy', 0)")
    statements = {
        "SELECT SLEEP(60)": "User sleep",
        "SELECT GET_LOCK('busy', 60)": "User lock",
        # Not MD5(), which MySQL 9 has moved to a component.
        "SELECT BENCHMARK(1000000000000, SHA2('a', 256))": None,
    }
    working = {sql: server.connect() for sql in statements}
    # Asked for now: nobody else may use a connection that is inside a statement.
    numbers = {sql: one.thread_id() for sql, one in working.items()}
    idle = server.connect()

    def states() -> set[str]:
        return {one["state"] for one in server.process_list() if one["info"]}

    def begun() -> set[str]:
        return {one["info"] for one in server.process_list()}

    with (
        contextlib.closing(idle),
        contextlib.closing(server_view.Busy()) as busy,
        ThreadPoolExecutor(len(working)) as threads,
    ):
        for sql, connection in working.items():
            threads.submit(run, connection, sql)
        try:
            assert poll(lambda: {*filter(None, statements.values())} <= states())
            assert poll(lambda: statements.keys() <= begun())
            told = busy("default")
        finally:
            for number in numbers.values():
                server.ask("KILL %s", number)
            server.ask("DO RELEASE_LOCK('busy')")
        ours = {*numbers.values(), idle.thread_id()}
    assert told is not None
    assert told & ours == {numbers[sql] for sql in statements if not statements[sql]}
