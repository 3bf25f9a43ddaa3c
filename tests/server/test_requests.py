"""Requests to a real gunicorn and a real uvicorn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.load import Plan, Request, run
from tests.harness.server import Server
from tests.sites import ConnectionCounter, Site

Serve = Callable[..., Site]

both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("gunicorn", "/queries"),
        ("gunicorn", "/queries-async"),
        ("uvicorn", "/queries"),
        ("uvicorn", "/queries-async"),
    ],
)
@pytest.mark.parametrize("queries", [0, 1, 3])
def test_n_queries_cost_n_statements_and_no_connection(
    shared_site: Serve, server: Server, kind: str, path: str, queries: int
) -> None:
    served = shared_site(kind, threads=1, pool={"pool_size": 1})
    url = f"{path}?n={queries}" if queries else "/nothing"
    for _ in range(3):
        assert served.get(url).status == 200
    statements = server.status("Questions")
    connections = server.status("Connections")

    for _ in range(10):
        assert served.get(url).status == 200

    assert server.status("Questions") - statements == 10 * queries
    assert server.status("Connections") == connections


@pytest.mark.parametrize(
    ("kind", "path"),
    [("gunicorn", "/sleep"), ("uvicorn", "/sleep"), ("uvicorn", "/sleep-async")],
)
def test_overload_is_answered_with_200_or_503_and_never_more_connections(
    site: Serve, server: Server, kind: str, path: str
) -> None:
    database = server.database("pooled_overload")
    pool = {"pool_size": 5, "timeout": 0.5}
    served = site(kind, database=database, threads=32, pool=pool)

    with ConnectionCounter(server, database["NAME"]) as connections:
        report = run(Plan(served.server.url, (Request(path),), clients=64, seconds=3))

    assert set(report.counts) <= {200, 503}
    assert report.good > 0
    assert report.without_retry_after == 0
    assert 1 <= connections.most <= 5


@both
def test_a_request_takes_its_connection_once(site: Serve, kind: str) -> None:
    served = site(kind, threads=2, pool={"pool_size": 2})
    served.get("/queries")
    before = served.state()["checkouts"]

    for _ in range(10):
        assert served.get("/queries").status == 200

    assert served.state()["checkouts"] - before == 10


@both
def test_plain_django_comes_back_when_the_lines_are_removed(
    site: Serve, kind: str
) -> None:
    served = site(
        kind,
        engine="django.db.backends.mysql",
        MIDDLEWARE=[],
        INSTALLED_APPS=["django.contrib.contenttypes", "tests.site"],
    )

    assert served.get("/queries").status == 200
