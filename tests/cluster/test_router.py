"""The site behind a MySQL Router that shares connections."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.harness.mysql import MySQL
from tests.harness.processes import poll
from tests.harness.router import Router
from tests.sites import Kind, Site, make_tables, serve

POOL = {"pool_size": 6, "timeout": 2}
OPTIONS = {"pool": POOL, "connect_timeout": 2, "read_timeout": 5}
DIRTY = "/see-and-leave?what=variable"
KINDS: list[Kind] = ["gunicorn", "uvicorn"]


@pytest.fixture(scope="module")
def database(mysql: MySQL) -> dict[str, Any]:
    database = mysql.database("behind_router")
    make_tables(database)
    return database


@pytest.fixture(params=KINDS)
def site(
    request: pytest.FixtureRequest, router: Router, database: dict[str, Any]
) -> Iterator[Site]:
    options = {**database["OPTIONS"], **OPTIONS}
    with serve(
        request.param, database=router.through(database), door=True, options=options
    ) as site:
        yield site


@contextlib.contextmanager
def load(site: Site, path: str, clients: int = 6) -> Iterator[Counter[int]]:
    """Ask for *path* all the time, and count the answers."""
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses[site.get(path).status] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_many_clients_share_few_connections(site: Site, mysql: MySQL) -> None:
    with load(site, "/queries?n=2") as statuses:
        assert poll(lambda: statuses[200] > 100)
        most = len(mysql.process_list())
    assert set(statuses) == {200}
    assert most <= POOL["pool_size"]


def test_a_changed_session_is_not_seen_by_the_next(site: Site) -> None:
    seen = {site.get(DIRTY).body for _ in range(20)}
    assert seen == {"None"}


@pytest.mark.parametrize("what", ["variable", "time zone"])
def test_router_lives_on_when_its_server_is_killed_under_dirty_sessions(
    site: Site, router: Router, mysql: MySQL, what: str
) -> None:
    # The server is away when these end, and their sessions have been changed.
    path = f"/see-and-leave?{urlencode({'what': what, 'seconds': 2})}"
    with load(site, path) as statuses:
        assert poll(lambda: site.state()["in_use"] == POOL["pool_size"])
        mysql.kill()
        assert poll(lambda: statuses.total() > 20)
        mysql.start()
        good = statuses[200]
        assert poll(lambda: statuses[200] >= good + POOL["pool_size"])
    assert router.running(), router.log()[-2000:]
    assert set(statuses) <= {200, 503}
