"""Parts of a pool that decide by the clock or by a count, each alone."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db import PoolTimeout, ServerUnavailable, pools, state
from pooled_db.driver.connection import Connection
from pooled_db.driver.slot import padded
from pooled_db.pool import host, state_file
from pooled_db.pool.loan import Loan
from pooled_db.pool.nodes import _is_true
from pooled_db.pool.numbers import Numbers
from pooled_db.pool.overdue import Overdue
from pooled_db.pool.pool import Pool
from pooled_db.pool.share import Share, no_siblings
from pooled_db.pool.surplus import Surplus
from tests.checking import AddDatabase

# Who is overdue.


def test_all_loans_are_looked_at_a_few_times_in_the_time_they_may_take() -> None:
    looks: list[float] = []

    def lent() -> Sequence[Loan]:
        looks.append(now)
        return ()

    overdue = Overdue("default", 40.0, lent)
    for tenth in range(400):
        now = 1000.0 + tenth / 10
        overdue.pass_by(now)
    assert 2 <= len(looks) <= 10


# When its queue stands.


def test_a_queue_stands_after_the_times_that_were_asked_for() -> None:
    pool = Pool("default", pytest.fail, queue_target=0.25, queue_interval=4.0)
    shedding = pool.gate._shedding
    assert shedding is not None
    assert (shedding.target, shedding.interval) == (0.25, 4.0)
    assert Pool("default", pytest.fail, queue_target=None).gate._shedding is None


# What an error says.


def test_an_error_of_opening_stands_alone() -> None:
    """Whoever has written a wrong password reads one traceback."""

    def connect() -> Connection:
        raise MySQLdb.OperationalError(1045, "Access denied")

    pool = Pool("default", connect)
    with pytest.raises(MySQLdb.OperationalError) as refused:
        pool.checkout()
    assert refused.value.__context__ is None


def test_an_error_of_opening_keeps_no_request_alive() -> None:
    """What called for the connection has it in its frames."""
    kept: list[weakref.ref[object]] = []

    class Upload:
        """Of some megabytes."""

    def connect() -> Connection:
        upload = Upload()
        kept.append(weakref.ref(upload))
        raise MySQLdb.OperationalError(1045, "Access denied")

    pool = Pool("default", connect)
    with contextlib.suppress(MySQLdb.OperationalError):
        pool.checkout()
    gc.collect()
    assert [one() for one in kept] == [None]


@pytest.mark.parametrize(
    ("code", "is_failure"),
    # A server that is full has lost no node.
    [(1040, False), (2003, True)],
)
def test_after_a_failure_connections_live_shorter_and_not_where_there_is_no_room(
    code: int, is_failure: bool
) -> None:
    def connect() -> Connection:
        raise MySQLdb.OperationalError(code, "Too many connections")

    pool = Pool("default", connect, timeout=0.01, recycle=1800.0)
    with contextlib.suppress(PoolTimeout, ServerUnavailable):
        pool.checkout()
    now = time.monotonic()
    assert (pool._connector.turnover.end_of(now) - now <= 60.0) is is_failure


# How many were lent at once.


def test_who_notes_fewer_at_the_same_time_takes_nothing_from_the_peak() -> None:
    """Another thread may get its turn whenever a call in C returns."""
    numbers, noted = Numbers(), [3]

    def in_between(frame: FrameType, event: str, arg: object) -> None:
        if event == "c_return" and frame.f_code is Numbers.were_lent.__code__:
            sys.setprofile(None)
            noted.append(7)
            numbers.were_lent(7)

    before = sys.getprofile()
    sys.setprofile(in_between)
    try:
        numbers.were_lent(3)
    finally:
        sys.setprofile(before)

    assert numbers.read()["peak"] == max(noted)


def test_fewer_than_before_are_no_peak() -> None:
    numbers = Numbers()
    for at_once in (3, 2, 4, 1):
        numbers.were_lent(at_once)
    assert numbers.read()["peak"] == 4


# How many may wait under WSGI.


@pytest.mark.parametrize(
    ("threads", "crowd"),
    # Those at work, and an eighth that refuses, do not wait.
    [(64, 64 - 4 - 8), (7, 2), (6, 1), (4, None), (None, None)],
)
def test_an_eighth_of_the_threads_is_left_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
    add_database: AddDatabase,
    threads: int | None,
    crowd: int | None,
) -> None:
    monkeypatch.setattr(pools, "threads_of_this_process", lambda: threads)
    options = {"pool": {"pool_size": 3, "max_overflow": 1}}
    add_database("crowded", OPTIONS=options)
    assert pools.for_alias("crowded").gate._queue.crowd == crowd


# What others are told of pools.


def test_of_two_threads_that_make_one_pool_only_one_is_told(
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    add_database: AddDatabase,
) -> None:
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "state")}
    add_database("twice", OPTIONS={"pool": {"pool_size": 3}})
    build, made = pools._build, []

    def build_after_another(wrapper: Any) -> Pool:
        monkeypatch.setattr(pools, "_build", build)
        made.append(pools.for_wrapper(wrapper))
        made.append(build(wrapper))
        return made[1]

    monkeypatch.setattr(pools, "_build", build_after_another)

    assert pools.for_alias("twice") is made[0]
    assert state.look().totals()["twice"].limit == 3


def test_a_directory_of_the_sites_own_may_be_where_all_can_look(
    settings: Any, tmp_path: Path
) -> None:
    """As /run and /tmp are."""
    (tmp_path / "run").mkdir(mode=0o755)
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "run" / "shop")}

    numbers = state.numbers_for("default", 10, {})

    assert numbers.file is not None
    assert (tmp_path / "run" / "shop" / numbers.file).exists()


def test_a_limit_that_is_to_be_none_takes_no_more_room_than_10000(
    settings: Any, tmp_path: Path
) -> None:
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "state")}

    assert len(state.numbers_for("default", 1_000_000, {}).slots) == 10_000
    assert len(state.numbers_for("default", 100, {}).slots) > 100


# What a pool gives up.


def closed_in_turn(all_needed: bool, seconds: float) -> int:
    """How many of ten connections are closed in so many *seconds* without refusals."""
    connections = [
        SimpleNamespace(makes_room=False, is_doubtful=False) for _ in range(10)
    ]
    now = 1000.0
    store: Any = SimpleNamespace(
        open=connections,
        park_idle=lambda: None,
        close_parked=lambda since, least: None,
        close_some_parked=lambda most: 0,
        # One was idle all the time, if not all were needed.
        parked_since=lambda: None if all_needed else now - 0.1,
    )
    limit: Any = SimpleNamespace(is_contended=False, was_contended=False)
    gate: Any = SimpleNamespace(waiting=0, capacity=10)
    surplus = Surplus(store, Share(store, limit, gate, no_siblings), max_idle=60.0)
    closed = 0
    while now < 1000.0 + seconds:
        now = surplus.look_after(now) or now
        for connection in connections:
            closed += connection.makes_room
            connection.makes_room = False
    return closed


def test_a_full_pool_closes_each_connection_once_in_60_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", random.Random(1).random)
    assert 300 <= closed_in_turn(all_needed=True, seconds=2400.0) <= 500


def test_a_pool_that_has_enough_closes_none() -> None:
    assert closed_in_turn(all_needed=False, seconds=600.0) == 0


def next_look(
    monkeypatch: pytest.MonkeyPatch, lot: float, max_idle: float, rested: float = 0.0
) -> float:
    """After how many seconds a pool with two idle connections looks again."""
    monkeypatch.setattr(random, "random", lambda: lot)
    now = 1000.0
    store: Any = SimpleNamespace(
        open=[None, None],
        park_idle=lambda: None,
        close_parked=lambda since, least: None,
        parked_since=lambda: now - rested,
    )
    share: Any = SimpleNamespace(is_looking=False, look=lambda now, needed: now + 60.0)
    return (Surplus(store, share, max_idle).look_after(now) or now) - now


def test_a_look_comes_up_to_half_a_second_late_and_half_a_second_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert next_look(monkeypatch, 0.0, max_idle=3.0) == 3.0
    assert 3.4 < next_look(monkeypatch, 0.999, max_idle=3.0) <= 3.5
    assert next_look(monkeypatch, 0.0, max_idle=0.1) == 0.5


@pytest.mark.parametrize(
    ("connections", "is_looking", "is_watched"),
    [(0, True, False), (1, False, False), (1, True, True), (2, False, True)],
)
def test_who_has_nothing_to_give_up_is_not_looked_after(
    connections: int, is_looking: bool, is_watched: bool
) -> None:
    """Until another connection is opened."""
    store: Any = SimpleNamespace(
        open=[None] * connections,
        park_idle=lambda: None,
        close_parked=lambda since, least: None,
        parked_since=lambda: None,
    )
    share: Any = SimpleNamespace(is_looking=is_looking, look=lambda now, needed: now)
    look_after = Surplus(store, share, max_idle=60.0).look_after
    assert (look_after(1000.0) is not None) is is_watched


def test_what_has_rested_is_looked_at_when_it_has_for_max_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert next_look(monkeypatch, 0.0, max_idle=60.0, rested=45.0) == 15.0


# Nodes.


@pytest.mark.parametrize(
    "value", [0, "0", b"0", "OFF", b"off", "no", "False", "", None]
)
def test_what_a_server_writes_for_no(value: object) -> None:
    assert not _is_true(value)


@pytest.mark.parametrize("value", [1, "1", b"1", "ON", b"on", "Synced", b"\xff", -1])
def test_what_a_server_writes_for_yes(value: object) -> None:
    assert _is_true(value)


# What others read.


def test_a_connection_that_is_lent_again_is_not_told_of_its_last_user(
    tmp_path: Path,
) -> None:
    numbers = state_file.create(
        tmp_path / "state", 4, {"alias": "default", "settings": {}}
    )
    before = time.monotonic()
    slot = numbers.occupy(11)
    assert slot is not None
    numbers.lent(0.0, time.monotonic(), slot)
    slot.text[:] = padded("GET /orders (shop.orders)")
    numbers.given_back(0.0, slot)
    numbers.lent(0.0, time.monotonic(), slot)

    (process,) = host.look(tmp_path / "state").processes
    (held,) = process.pools["default"].loans
    assert (held.state, held.who) == ("ready", "")
    assert 0.0 <= held.age <= time.monotonic() - before


def test_a_process_that_gives_its_numbers_up_counts_on_alone(tmp_path: Path) -> None:
    numbers = state_file.create(
        tmp_path / "state", 4, {"alias": "default", "settings": {}}
    )
    numbers.was_reset()
    numbers.leave()
    numbers.was_reset()

    looked = host.look(tmp_path / "state")
    assert looked.processes == ()
    assert looked.totals()["default"].resets == 1
    assert looked.totals()["default"].granted == 0


def test_what_processes_have_left_is_folded_though_nobody_looks(
    tmp_path: Path, settings: Any
) -> None:
    """A server whose workers start anew every minute must not fill /dev/shm."""
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "state")}
    for _ in range(3):
        numbers = state.numbers_for("default", 10, {})
        numbers.was_reset()
        numbers.leave()

    assert len(list((tmp_path / "state").glob("*.pool"))) == 1
    assert state.look().totals()["default"].resets == 3


def test_the_directory_of_a_user_is_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.POOLED_DB = {}
    monkeypatch.setattr(state, "SHARED_MEMORY", tmp_path)
    numbers = state.numbers_for("default", 10, {})
    (of_user,) = tmp_path.iterdir()
    (of_site,) = of_user.iterdir()
    for directory in (of_user, of_site):
        assert directory.stat().st_mode & 0o777 == 0o700
    # Each of the ten has a place, also while one is being closed and another opened.
    assert all(numbers.occupy(number) is not None for number in range(1, 12))
