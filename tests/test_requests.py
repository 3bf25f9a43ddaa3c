"""Requests to a real gunicorn and a real uvicorn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.load import Plan, Request, run
from tests.harness.mariadb import Server
from tests.sites import ConnectionCounter, Site, serve

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
    site: Serve, server: Server, kind: str, path: str, queries: int
) -> None:
    served = site(kind, threads=1, pool={"pool_size": 1})
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
    served = site(kind, threads=32, pool={"pool_size": 5, "timeout": 0.5})

    with ConnectionCounter(server, "pooled_site") as connections:
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


@pytest.fixture(scope="module")
def endings(site_database: dict[str, Any]) -> Iterator[dict[str, Site]]:
    """Sites with so few connections that a leak shows at once."""
    with contextlib.ExitStack() as stack:
        yield {
            kind: stack.enter_context(
                serve(
                    kind,
                    database=site_database,
                    threads=2,
                    pool={"pool_size": 2, "timeout": 2},
                )
            )
            for kind in ("gunicorn", "uvicorn")
        }


@both
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/queries", 200),
        ("/item-async", 200),
        ("/fail-after-query", 500),
        ("/wrong-sql", 500),
        ("/leave-atomic", 200),
        ("/autocommit-off", 200),
        ("/close", 200),
        ("/close-all", 200),
        ("/release", 200),
        ("/release-async", 200),
        ("/release-in-atomic", 500),
        ("/stream", 200),
        ("/stream-async", 200),
        ("/stream-unused", 200),
        ("/file", 200),
        ("/in-template", 200),
        ("/no-such-page", 404),
    ],
)
def test_the_connection_goes_back_however_the_request_ends(
    endings: dict[str, Site], kind: str, path: str, status: int
) -> None:
    served = endings[kind]
    for _ in range(4):
        assert served.get(path).status == status, served.server.log()
        served.assert_nothing_left()
