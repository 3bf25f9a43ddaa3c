"""Loans that last for too long, and signals, on the real server."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from pooled_db import pools, signals
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.pool import Pool
from tests.site.views import ask

MakePool = Callable[..., Pool]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if "warn_after" in record.getMessage()
    ]


def test_a_long_loan_is_logged_once_when_it_comes_back(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(pool_size=2, warn_after=10.0)
    loan = pool.checkout()
    loan.since -= 9.0
    pool.checkout().checkin()
    assert warnings(caplog) == []
    loan.since -= 2.0
    loan.checkin()
    (line,) = warnings(caplog)
    assert "A connection to 'bare' is held for longer than warn_after (10 s)" in line
    assert "test_holders.py" in line
    assert re.search(r"for 11\.\d s, at rest", line)


def test_a_loan_that_does_not_come_back_is_logged_by_who_passes(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(pool_size=2, warn_after=0.2)
    loan = pool.checkout()
    loan.since -= 30.0
    assert pool._overdue is not None
    for _ in range(2):
        pool._overdue._next = 0.0
        pool.checkout().checkin()
    loan.checkin()
    assert len(warnings(caplog)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_request_is_named_by_its_view_and_the_line_that_took_it(
    rf: RequestFactory,
    settings: Any,
    like_a_server: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = connections.settings["default"]
    pool = {**database["OPTIONS"]["pool"], "warn_after": 5.0}
    database["OPTIONS"]["pool"], before = pool, database["OPTIONS"]["pool"]
    connections.close_all()
    pools.dispose("default")

    def view(request: HttpRequest) -> HttpResponse:
        ask("SELECT 1")
        (loan,) = pools.for_alias("default").lent()
        loan.since -= 60.0
        return HttpResponse("slow")

    try:
        PooledConnectionMiddleware(view)(rf.get("/report?token=secret"))
    finally:
        database["OPTIONS"]["pool"] = before
        pools.dispose("default")
    (line,) = warnings(caplog)
    assert "GET /report, taken at " in line
    assert "views.py" in line
    assert "secret" not in line


@pytest.fixture
def told() -> Iterator[list[tuple[str, Any, Any]]]:
    """What the signals have said, with another receiver that raises."""
    said: list[tuple[str, Any, Any]] = []

    def opened(alias: str, connection_id: int, **kwargs: Any) -> None:
        said.append(("opened", alias, connection_id))

    def closed(connection_id: int, reason: str, **kwargs: Any) -> None:
        said.append(("closed", reason, connection_id))

    def fails(**kwargs: Any) -> None:
        raise ValueError("a receiver's own mistake")

    for signal in (signals.connection_opened, signals.connection_closed):
        signal.connect(fails)
    signals.connection_opened.connect(opened)
    signals.connection_closed.connect(closed)
    yield said
    for signal in (signals.connection_opened, signals.connection_closed):
        signal.disconnect(fails)
    signals.connection_opened.disconnect(opened)
    signals.connection_closed.disconnect(closed)


@pytest.mark.django_db(transaction=True)
def test_signals_tell_what_is_opened_and_closed(
    told: list[tuple[str, Any, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    connections.close_all()
    pools.dispose("default")
    told.clear()
    number = ask("SELECT CONNECTION_ID()")
    assert told == [("opened", "default", number)]
    connection.close()
    assert ask("SELECT CONNECTION_ID()") == number
    connection.close()
    pools.dispose("default")
    assert told[1:] == [("closed", "disposed", number)]
