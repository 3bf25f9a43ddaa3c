"""What the warm cycle of a request may cost, in counts that no machine changes.

The cycle is what every request pays: scope opened, connection checked out, bound to
Django's wrapper, given back. Its time is measured by ``make bench``; a time cannot be
asserted. These counts were those of the day when it was measured at its best. A change
that raises one may be right, and then raises the number here, knowingly.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

import pooled_db
from pooled_db import pools
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.cleaning import Cleaning
from pooled_db.wsgi import Door

PACKAGE = str(Path(pooled_db.__file__).parent)

pytestmark = pytest.mark.django_db(transaction=True)

Cycle = Callable[[], None]
Lock = threading.Lock


@pytest.fixture
def cycle(rf: RequestFactory, settings: Any) -> Iterator[Cycle]:
    settings.POOLED_DB = {"STATE_DIR": None}
    connections.close_all()

    def view(request: HttpRequest) -> HttpResponse:
        connections["default"].ensure_connection()
        return response

    response = HttpResponse("warm")
    middleware = PooledConnectionMiddleware(view)
    request = rf.get("/")
    middleware(request)
    yield lambda: middleware(request)
    connections.close_all()


def calls_of(function: Cycle) -> Counter[str]:
    """How often each Python function of pooled_db is called."""
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            calls[code.co_name] += 1

    gc.collect()
    gc.disable()  # what others have left is finalized elsewhere
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


class CountingLock:
    """A lock that counts in *taken* how often it was taken."""

    def __init__(self, taken: Counter[str], name: str) -> None:
        self._taken = taken
        self._name = name
        self._lock = Lock()

    def acquire(self, *args: Any) -> bool:
        self._taken[self._name] += 1
        return self._lock.acquire(*args)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def test_the_cycle_calls_no_more_functions_than_when_it_was_measured(
    cycle: Cycle,
) -> None:
    """One of them is a look of Django's own guard in tests.

    Two are the queue's of idle connections: SQLAlchemy's own takes twelve, of others.
    """
    calls = calls_of(cycle)
    assert calls.total() <= 35, calls


def test_what_other_processes_can_read_costs_three_calls(
    cycle: Cycle, settings: Any, tmp_path: Path
) -> None:
    """They name the request."""
    tmp_path.chmod(0o700)
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path)}
    connections.close_all()
    pools.dispose("default")
    cycle()
    calls = calls_of(cycle)
    assert calls.total() <= 38, calls


def test_the_door_adds_five_calls(cycle: Cycle) -> None:
    """What it takes, the middleware does not take again."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        cycle()
        return []

    def with_door() -> None:
        door({"PATH_INFO": "/"}, lambda *args: None)

    door = Door(application)
    with_door()
    added = calls_of(with_door) - calls_of(cycle)
    assert added.total() <= 5, added


def test_an_event_loop_takes_what_is_idle_without_a_thread(
    cycle: Cycle, rf: RequestFactory
) -> None:
    cycle()
    connections.close_all()

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("warm")

    middleware = PooledConnectionMiddleware(view)
    calls = calls_of(lambda: asyncio.run(middleware(rf.get("/"))))

    assert any("check_out_idle" in name for name in calls), calls
    assert not any("_connect_in_thread" in name for name in calls), calls


def test_the_cycle_takes_each_lock_no_oftener_than_it_must(
    cycle: Cycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate's alone: to ask, to lend, and to give back."""
    pool = pools.for_alias("default")
    taken: Counter[str] = Counter()
    monkeypatch.setattr(pool.gate, "lock", CountingLock(taken, "gate"))
    monkeypatch.setattr(threading, "Lock", lambda: CountingLock(taken, "another"))
    cycle()
    monkeypatch.undo()
    assert taken == {"gate": 3}


def test_the_cycle_looks_into_the_settings_of_no_pool(
    cycle: Cycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and judging them takes as long as three whole cycles."""
    calls = calls_of(cycle)
    assert not {"pool_settings", "middleware_settings", "problems_of"} & calls.keys()


def test_a_request_without_queries_costs_the_server_nothing_however_it_resets(
    rf: RequestFactory, server: Any
) -> None:
    connections.close_all()
    pool = pools.for_alias("default")
    pool._cleaning = Cleaning("always", True, pool.numbers)
    try:
        middleware = PooledConnectionMiddleware(lambda request: HttpResponse("none"))
        middleware(rf.get("/"))
        statements = server.status("Questions")
        middleware(rf.get("/"))
        assert server.status("Questions") == statements
    finally:
        pools.dispose("default")


@pytest.mark.parametrize("built_by", ["copy", "another"])
def test_a_request_needs_one_connection_whoever_used_the_pool_first(
    rf: RequestFactory, built_by: str
) -> None:
    """A copy of a wrapper has settings of its own, which lead to the same database."""
    connections.close_all()
    pools.dispose("default")
    wrapper = connections["default"]
    copy = wrapper.copy()
    copy.ensure_connection()
    copy.close()
    used = copy if built_by == "another" else wrapper

    def view(request: HttpRequest) -> HttpResponse:
        used.ensure_connection()
        return HttpResponse(str(pools.for_alias("default").stats().in_use))

    assert PooledConnectionMiddleware(view)(rf.get("/")).content == b"1"
    used.close()


def test_a_query_calls_no_more_functions_than_when_it_was_measured(
    rf: RequestFactory, settings: Any
) -> None:
    """One of them is a look of Django's own guard in tests."""
    settings.POOLED_DB = {"STATE_DIR": None}
    connections.close_all()

    def view(request: HttpRequest) -> HttpResponse:
        for _ in range(int(request.GET["queries"])):
            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT %s", (1,))
                assert cursor.fetchone() == (1,)
        return HttpResponse("warm")

    middleware = PooledConnectionMiddleware(view)
    calls = []
    for queries in (1, 3):
        request = rf.get("/", {"queries": queries})
        middleware(request)
        calls.append(calls_of(partial(middleware, request)))
    connections.close_all()
    each = calls[1] - calls[0]
    assert each.total() <= 2 * 16, each
