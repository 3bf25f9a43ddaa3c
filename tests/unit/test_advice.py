"""What size of a pool is advised for a load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pooled_db.pool.host import Held, Host, Process, ProcessPool
from pooled_db.pool.stats import BOUNDS, Histogram, PoolStats
from pooled_db.watching.advice import Load, advise, measure
from pooled_db.watching.overview import find, overview
from pooled_db.watching.server_view import ServerView

#: 20 requests a second that hold their connections for 0.1 s, in one process.
LOAD = Load(
    seconds=10.0,
    processes=1,
    limit=10,
    checkouts=200,
    refused=0,
    held=20.0,
    waited=0.0,
    at_work=0.5,
)


@pytest.mark.parametrize(
    ("load", "size"),
    [
        (LOAD, 2),
        (replace(LOAD, processes=2), 1),
        (replace(LOAD, held=21.0), 3),
        # A closed loop of six clients on two connections.
        (replace(LOAD, limit=2, held=20.0, waited=40.0), 6),
        # 40 a second came, half of which were refused.
        (replace(LOAD, limit=2, refused=200, waited=100.0), 4),
    ],
)
def test_the_size_follows_littles_law(load: Load, size: int) -> None:
    assert advise("default", load).pool_size == size


def test_the_database_is_what_is_slow() -> None:
    load = replace(LOAD, held=200.0, waited=100.0, at_work=0.95)
    advice = advise("default", load)
    assert (advice.pool_size, advice.database_is_slow) == (None, True)
    assert "slow queries" in advice.reason
    assert advise("default", replace(load, at_work=0.3)).pool_size == 30
    assert advise("default", replace(load, waited=0.0)).pool_size == 20


def test_more_than_the_server_takes_is_said() -> None:
    advice = advise("default", LOAD, processes=1, hosts=50, max_connections=100)
    assert "50 x 1 x 2 = 100 is not below" in advice.reason


def test_nothing_is_said_of_a_pool_that_nobody_used() -> None:
    advice = advise("default", replace(LOAD, checkouts=0, held=0.0))
    assert (advice.pool_size, advice.database_is_slow) == (None, False)


def _host(
    uses: float, checkouts: int, lent: float, *, overloaded: bool = False
) -> Host:
    empty = (0,) * len(BOUNDS)
    stats = PoolStats(
        limit=4,
        in_use=1,
        at_work=1,
        checkouts=checkouts,
        overloaded=overloaded,
        uses=Histogram((checkouts, *empty), uses),
    )
    held = Held(7, "GET / (view)", lent, None, False, 100.0)
    pool = ProcessPool("default", stats, (held,), {})
    return Host((Process(1, "here", "gunicorn", 0.0, {"default": pool}),))


def test_what_is_out_counts_as_far_as_it_was_out_meanwhile() -> None:
    """One connection is in use all the time: exactly one is needed."""
    times = iter([0.0, 0.0, 5.0, 10.0, 10.0])
    looks = iter([_host(50.0, 10, 3.0), _host(50.0, 10, 8.0), _host(60.0, 12, 3.0)])
    loads = measure(lambda: next(looks), 10.0, lambda: next(times), lambda _: None)
    load = loads["default"]
    assert (load.checkouts, load.held, load.at_work) == (2, 10.0, 1.0)
    assert load.needed == 1.0


def test_what_is_wrong_is_found() -> None:
    host = _host(1.0, 1, 1.0)
    assert find(host, {}) == []
    assert find(host, {"default": ServerView(max_connections=5)}) == []
    (over,) = find(host, {"default": ServerView(max_connections=4)})
    assert "over budget" in over
    assert len(find(host, {"default": ServerView(max_connections=5)}, hosts=2)) == 1
    (overloaded,) = find(_host(1.0, 1, 1.0, overloaded=True), {})
    assert "overloaded" in overloaded
    statuses = [
        overview(one, {})["status"]
        for one in (Host(), host, _host(1.0, 1, 1.0, overloaded=True))
    ]
    assert statuses == [2, 0, 1]
