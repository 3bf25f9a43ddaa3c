"""The demo: what it tells of its sites is true of each of them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from demo.rush.outcome import hold_sale
from demo.rush.visit import Doing
from demo.serving import (
    BACKENDS,
    MAX_CONNECTIONS,
    POOLED,
    Backend,
    Serving,
    private_database,
)
from demo.stage.stage import Stage, performing
from tests.harness.mariadb import MariaDB
from tests.harness.processes import PATIENCE, poll

PEOPLE = 40
#: For how long they wait, as a multiple: where a machine is slow, nobody leaves for it.
PATIENT = 100.0


@pytest.fixture(scope="module")
def database() -> Iterator[MariaDB]:
    with private_database() as database:
        yield database


def needs_its_package(backend: Backend) -> Any:
    missing = importlib.util.find_spec(backend.engine.partition(".")[0]) is None
    mark = pytest.mark.skipif(missing, reason=f"{backend.title} is not installed")
    return pytest.param(backend, marks=mark, id=backend.title)


@pytest.mark.parametrize("backend", [needs_its_package(one) for one in BACKENDS])
def test_where_nobody_has_to_wait_everybody_buys(
    database: MariaDB, backend: Backend
) -> None:
    told: list[Counter[Doing]] = []
    outcome = hold_sale(
        database,
        backend,
        Serving(work_seconds=0.0, workers=1, threads=4),
        people=PEOPLE,
        within=1.0,
        patience=PATIENT,
        progress=told.append,
    )
    assert outcome.endings == {Doing.BOUGHT: PEOPLE}
    assert outcome.seen.statuses == {200: 2 * PEOPLE}
    assert outcome.books.balanced
    assert outcome.books.tickets_sold == PEOPLE
    assert 1 <= outcome.connections.most <= MAX_CONNECTIONS
    assert told


@pytest.mark.parametrize(
    ("backend", "doing"),
    [(BACKENDS[0], Doing.AT_AN_ERROR), (POOLED, Doing.ASKED_TO_WAIT)],
    ids=lambda value: getattr(value, "title", ""),
)
def test_more_people_than_connections(
    database: MariaDB, backend: Backend, doing: Doing
) -> None:
    outcome = hold_sale(
        database,
        backend,
        Serving(work_seconds=3.0, workers=1),
        people=3 * MAX_CONNECTIONS,
        within=0.1,
        progress=lambda now: None,
    )
    assert outcome.ever(doing) > 0
    assert outcome.connections.most == MAX_CONNECTIONS
    books = outcome.books
    assert books.tickets_sold == books.orders_stored
    # Whoever bought without being told so had left, tired of waiting.
    unseen = books.tickets_sold - books.purchases_answered
    assert 0 <= unseen <= outcome.endings.get(Doing.TIRED, 0)


@pytest.fixture(scope="module")
def stage(database: MariaDB) -> Iterator[Stage]:
    serving = Serving(work_seconds=0.0, workers=1, threads=16, staged=True)
    with performing(database, POOLED, serving) as stage:
        thread = threading.Thread(target=stage.serve_forever)
        thread.start()
        try:
            yield stage
        finally:
            stage.shutdown()
            thread.join()


def test_a_server_that_goes_away_and_comes_back(stage: Stage) -> None:
    stage.trouble.away_seconds = PATIENCE
    assert status(f"{stage.shop}/") == 200
    assert press(stage, "away") == 202
    assert press(stage, "away") == 409
    assert poll(lambda: status(f"{stage.shop}/") == 503)
    assert status(f"{stage.url}/") == 200
    assert status(f"{stage.shop}/pools/") == 200
    assert pool(stage)["in_use"] == 0
    stage.trouble.end()
    assert poll(lambda: status(f"{stage.shop}/") == 200)


def test_slow_queries_are_seen_in_the_pool(stage: Stage, database: MariaDB) -> None:
    assert press(stage, "slow") == 202
    assert poll(lambda: pool(stage)["in_use"] == 10)
    assert told(f"{stage.url}/now")["under_way"]["slow"]
    for one in database.process_list():
        if one["command"] == "Query":
            database.ask(f"KILL QUERY {one['id']}")
    assert poll(lambda: not told(f"{stage.url}/now")["under_way"]["slow"])


def test_a_rush_is_told_of(stage: Stage) -> None:
    stage.trouble.people, stage.trouble.within = PEOPLE, 0.5
    stage.trouble.patience = PATIENT
    assert press(stage, "rush") == 202

    def bought() -> bool:
        return bool(told(f"{stage.url}/now")["people"]["bought"] == PEOPLE)

    assert poll(bought)


def test_only_the_pages_own_buttons_make_trouble(stage: Stage) -> None:
    assert press(stage, "away", origin="http://elsewhere.example") == 403
    assert press(stage, "fire") == 404


def test_whoever_runs_the_demo_sees_the_pools_and_no_more_of_the_admin(
    stage: Stage,
) -> None:
    assert status(f"{stage.shop}/") == 200  # it has a pool from then on
    assert poll(lambda: pool(stage)["limit"] == MAX_CONNECTIONS)
    opener = urllib.request.build_opener()
    with contextlib.closing(opener.open(f"{stage.shop}/admin/")) as answer:
        assert urlsplit(answer.url).path == "/admin/login/"


def pool(stage: Stage) -> dict[str, Any]:
    """What the dashboard tells of the shop's pools, to one who has opened it."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(f"{stage.shop}/pools/").close()
    with contextlib.closing(opener.open(f"{stage.shop}/pools/data")) as answer:
        told = json.load(answer)
    stats: dict[str, Any] = told["aliases"]["default"]["stats"]
    return stats


def press(stage: Stage, kind: str, origin: str | None = None) -> int:
    return status(
        f"{stage.url}/{kind}", data=b"", headers={"Origin": origin or stage.url}
    )


def status(
    url: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> int:
    request = urllib.request.Request(url, data, headers or {})
    try:
        with contextlib.closing(urllib.request.urlopen(request)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def told(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)
