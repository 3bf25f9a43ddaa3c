"""What size of a pool is advised for a load."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from pooled_db.pool.host import Host, Process, ProcessPool
from pooled_db.pool.reading import Held
from pooled_db.pool.stats import BOUNDS, Histogram, PoolStats
from pooled_db.watching.advice import advise
from pooled_db.watching.load import Load, measure
from pooled_db.watching.overview import find, overview
from pooled_db.watching.server_view import ServerView
from tests.clock import Clock

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
        # A twentieth of a connection less is enough, and no pool has none.
        (replace(LOAD, held=20.4), 2),
        (replace(LOAD, held=21.0), 3),
        (replace(LOAD, held=0.1), 1),
        # A closed loop of six clients on two connections.
        (replace(LOAD, limit=2, held=20.0, waited=40.0), 6),
        # 40 a second came, half of which were refused.
        (replace(LOAD, limit=2, refused=200, waited=100.0), 4),
    ],
)
def test_the_size_follows_littles_law(load: Load, size: int) -> None:
    advice = advise("shop", load)
    assert (advice.alias, advice.pool_size, advice.load) == ("shop", size, load)


#: They hold their connections for 1 s each, and wait; the server works for them.
SLOW = replace(LOAD, held=200.0, waited=100.0, at_work=0.95, busy=0.9)


def test_the_database_is_what_is_slow() -> None:
    advice = advise("shop", SLOW)
    assert (advice.alias, advice.load) == ("shop", SLOW)
    assert (advice.pool_size, advice.database_is_slow) == (None, True)
    assert "slow queries" in advice.reason
    assert "need 30.0 connections" in advice.reason
    assert advise("default", replace(SLOW, at_work=0.3)).pool_size == 30
    assert advise("default", replace(SLOW, waited=0.0)).pool_size == 20


@pytest.mark.parametrize(
    ("busy", "said"),
    [
        (None, "spent in statements and transactions. Half that time"),
        (0.1, "the server does nothing for them meanwhile"),
    ],
)
def test_a_database_that_is_not_seen_to_work_is_not_called_slow(
    busy: float | None, said: str
) -> None:
    advice = advise("default", replace(SLOW, busy=busy))
    assert (advice.pool_size, advice.database_is_slow) == (30, False)
    assert said in advice.reason


def test_it_is_slow_from_four_fifths_at_work_and_a_quarter_of_a_second_on() -> None:
    border = replace(SLOW, held=50.0, at_work=0.8)
    assert advise("default", border).database_is_slow
    assert not advise("default", replace(border, held=49.0)).database_is_slow
    assert not advise("default", replace(border, at_work=0.79)).database_is_slow


def test_to_wait_for_a_thousandth_of_a_second_is_not_to_wait() -> None:
    calm = replace(SLOW, waited=0.001 * SLOW.checkouts)
    assert not advise("default", calm).database_is_slow
    more = replace(SLOW, waited=0.0011 * SLOW.checkouts)
    assert advise("default", more).database_is_slow


def test_bursts_are_named_where_there_are_enough_on_average() -> None:
    assert "bursts that wait" in advise("default", replace(LOAD, refused=5)).reason
    assert "bursts" not in advise("default", replace(LOAD, limit=1, refused=5)).reason
    # Three in each of two processes are as many as there are.
    enough = replace(LOAD, processes=2, limit=6, held=60.0, refused=1)
    assert "There are 6 already" in advise("default", enough).reason
    assert "already" not in advise("default", replace(enough, limit=5)).reason


def test_what_was_measured_is_told_first() -> None:
    measured = replace(LOAD, refused=20, waited=1.0)
    assert advise("default", measured, processes=2).reason.startswith(
        "20.0 requests a second had a connection for 100 ms each (50% of it at work) "
        "and waited 5 ms, and 2.0 a second were refused. By Little's law they need 2.2 "
        "connections on this host on average, 1.1 in each of 2 processes."
    )


def test_times_are_told_in_thousandths_of_a_second() -> None:
    slow = replace(LOAD, held=400.0, waited=600.0)
    told = advise("default", slow).reason
    assert "for 2000 ms each" in told
    assert "waited 3000 ms" in told


def test_of_waiting_and_refusals_no_more_is_said_than_there_were() -> None:
    calm = advise("default", LOAD).reason
    assert "Nobody waits." in calm
    assert "refused" not in calm
    waited = advise("default", replace(LOAD, waited=100.0)).reason
    assert "Nobody waits" not in waited
    assert "refused" not in waited
    assert "Nearly all of that time" not in waited
    refused = advise("default", replace(LOAD, refused=5)).reason
    assert "Nobody waits" not in refused
    assert "0.5 a second were refused" in refused
    assert "came again is counted each time" in refused


def test_who_found_no_server_wants_no_larger_pool() -> None:
    first, last = _host(0.0, 0, 0.0), _host(0.0, 0, 0.0)
    for looked, timeouts in ((first, 3), (last, 7)):
        reasons = {"unavailable": timeouts, "connection_lost": 2, "timeout": timeouts}
        pools = looked.processes[0].pools
        stats = pools["default"].stats
        stats = replace(stats, refused=sum(reasons.values()), refused_by=reasons)
        pools["default"] = replace(pools["default"], stats=stats)
    times, looks = iter([0.0, 0.0, 10.0, 10.0, 10.0]), iter([first, last])
    loads = measure(lambda: next(looks), 10.0, lambda: next(times), lambda _: None)
    assert loads["default"].refused == 4


def test_more_than_the_server_takes_is_said() -> None:
    advice = advise("default", LOAD, processes=1, hosts=50, max_connections=100)
    assert "50 x 1 x 2 = 100 is not below" in advice.reason
    # It is one host if nobody says otherwise, and one process at least.
    none = replace(LOAD, processes=0)
    for load in (LOAD, none):
        assert "below" not in advise("default", load, max_connections=3).reason
        alone = advise("default", load, max_connections=2)
        assert "1 x 1 x 2 = 2 is not below" in alone.reason


def test_where_nobody_was_served_no_need_is_made_up() -> None:
    refused = replace(LOAD, checkouts=0, held=0.0, refused=5)

    assert (refused.use, refused.wait, refused.needed) == (0.0, 0.0, 0.0)


def test_nothing_is_said_of_a_pool_that_nobody_used() -> None:
    nothing = replace(LOAD, checkouts=0, held=0.0)
    advice = advise("shop", nothing)
    assert (advice.alias, advice.load) == ("shop", nothing)
    assert (advice.pool_size, advice.database_is_slow) == (None, False)
    assert "Nobody has used it" in advice.reason


def test_a_pool_that_lends_nothing_since_all_are_held_is_not_called_unused() -> None:
    advice = advise("default", replace(LOAD, checkouts=0, held=100.0))
    assert advice.pool_size is None
    assert "10.0 of 10 were held all the time" in advice.reason


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
    times = iter([100.0, 100.0, 105.0, 110.0, 110.0])
    looks = iter([_host(50.0, 10, 3.0), _host(50.0, 10, 8.0), _host(61.0, 12, 2.0)])
    loads = measure(lambda: next(looks), 10.0, lambda: next(times), lambda _: None)
    load = loads["default"]
    assert (load.checkouts, load.held, load.at_work) == (2, 10.0, 1.0)
    assert (load.needed, load.seconds) == (1.0, 10.0)


def test_a_moment_may_be_too_short_to_see_who_is_at_work() -> None:
    times = iter([0.0, 1.0, 1.0])
    loads = measure(lambda: _host(0.0, 0, 0.0), 0.5, lambda: next(times))
    assert (loads["default"].seconds, loads["default"].at_work) == (1.0, 0.0)


def test_what_is_measured_of_a_pool_is_its_own_and_from_now_on() -> None:
    """Other processes have another pool, or none. One pool appears meanwhile."""
    empty = (0,) * len(BOUNDS)

    def looked(waited: float, *appeared: ProcessPool) -> Host:
        (process,) = _host(0.0, 0, 0.0).processes
        pool = process.pools["default"]
        stats = replace(pool.stats, waits=Histogram((3, *empty), waited))
        first = {"default": replace(pool, stats=stats)}
        second = {one.alias: one for one in appeared}
        nothing: dict[str, ProcessPool] = {}
        each = (first, second, nothing)
        return Host(tuple(replace(process, pools=pools) for pools in each))

    stats = PoolStats(limit=9, refused=2, refused_by={"unavailable": 2})
    late = ProcessPool("late", stats, (), {})
    times = iter([0.0, 0.0, 10.0, 10.0, 10.0])
    looks = iter([looked(4.0), looked(6.5, late)])
    loads = measure(lambda: next(looks), 10.0, lambda: next(times), lambda _: None)

    assert (loads["default"].processes, loads["late"].processes) == (1, 1)
    assert (loads["default"].waited, loads["default"].limit) == (2.5, 4)
    late_load = loads["late"]
    assert (late_load.held, late_load.waited, late_load.refused) == (0.0, 0.0, 0)
    assert late_load.limit == 9
    # Programs are told a number.
    assert json.dumps([late_load.at_work, late_load.busy]) == "[0.0, null]"


def test_of_connections_at_rest_nothing_is_asked() -> None:
    """One is at work, one is at rest, and one has no number yet."""
    (process,) = _host(0.0, 0, 0.0).processes
    pool = process.pools["default"]
    held = (
        pool.connections[0],
        Held(8, "GET / (view)", 1.0, 0.5, False, 100.0),
        Held(0, "GET / (view)", 1.0, None, False, 100.0),
    )
    pools = {"default": replace(pool, connections=held)}
    host = Host((replace(process, pools=pools), replace(process, pools={})))
    times = itertools.count()
    loads = measure(
        lambda: host,
        5.0,
        lambda: float(next(times)),
        lambda _: None,
        lambda alias: frozenset({7}),
    )
    assert loads["default"].busy == 1.0


def test_where_nobody_is_at_work_no_server_is_asked() -> None:
    host = _host(0.0, 0, 0.0)
    pool = host.processes[0].pools["default"]
    resting = replace(pool, stats=replace(pool.stats, at_work=0))
    host = Host((replace(host.processes[0], pools={"default": resting}),))
    times = itertools.count()

    def ask(alias: str) -> None:
        pytest.fail("it would be asked for nothing")

    measure(lambda: host, 5.0, lambda: float(next(times)), lambda _: None, ask)


def test_the_server_is_asked_what_it_does_for_those_at_work() -> None:
    """Of the two looks at the one connection at work, one finds the server working."""
    times = itertools.count()
    told: list[frozenset[int]] = [frozenset({7, 8}), frozenset({8})]
    loads = measure(
        lambda: _host(0.0, 0, 0.0),
        5.0,
        lambda: float(next(times)),
        lambda _: None,
        lambda alias: told.pop() if told else None,
    )
    assert loads["default"].busy == 0.5


def test_the_server_is_asked_every_half_second_though_looks_are_more_frequent() -> None:
    clock = Clock()
    asked: list[float] = []
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        clock.now += seconds

    def look() -> Host:
        looks.append(clock.now)
        return _host(0.0, 0, 0.0)

    def ask(alias: str) -> frozenset[int]:
        assert alias == "default"
        asked.append(clock.now)
        return frozenset({8})

    measure(look, 10.0, clock, sleep, ask)
    assert len(looks) == pytest.approx(100, abs=2)
    assert len(asked) == pytest.approx(18, abs=2)


def test_aliases_of_one_server_count_together() -> None:
    host = _host(1.0, 1, 1.0)
    (process,) = host.processes
    process.pools["other"] = replace(process.pools["default"], alias="other")
    view = ServerView(max_connections=8, server="here:3306")
    assert find(host, {"default": view}) == []
    elsewhere = replace(view, server="there:3306")
    assert find(host, {"default": view, "other": elsewhere}) == []
    (together,) = find(host, {"default": view, "other": view})
    assert together.startswith("'default' and 'other' are together over budget")
    assert "may open 8 connections" in together
    # Of those that cannot be asked nobody knows what they take.
    unknown = ServerView(error="gone")
    assert find(host, {"default": unknown, "other": unknown}) == []


def test_what_is_wrong_is_found() -> None:
    host = _host(1.0, 1, 1.0)
    assert find(host, {}) == []
    assert find(host, {"default": ServerView(max_connections=5)}) == []
    (over,) = find(host, {"default": ServerView(max_connections=4)})
    assert over == (
        "'default' is over budget: 1 processes on each of 1 hosts may open 4 "
        "connections, and the server's max_connections is 4."
    )
    for most, ends_with in ((5, 0), (4, 1)):
        view = ServerView(max_connections=most)
        assert overview(host, {"default": view})["status"] == ends_with
    assert len(find(host, {"default": ServerView(max_connections=5)}, hosts=2)) == 1
    (overloaded,) = find(_host(1.0, 1, 1.0, overloaded=True), {})
    assert "overloaded" in overloaded
    statuses = [
        overview(one, {})["status"]
        for one in (Host(), host, _host(1.0, 1, 1.0, overloaded=True))
    ]
    assert statuses == [2, 0, 1]
