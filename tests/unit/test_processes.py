"""Whose the state files are that a look finds: which process's, and which pool's."""

from __future__ import annotations

import gc
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from pooled_db.pool import host, state_file
from pooled_db.pool.numbers import Numbers

SETTINGS = {"hold": "request", "pool_size": 4}
ABOUT = {"alias": "default", "settings": SETTINGS}
#: As the file says of a process whose number is 7.
SEVEN = {"pid": 7, "host": "here", "program": "gunicorn", "process": 100.0}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


def make(directory: Path, **about: Any) -> Numbers:
    return state_file.create(directory, 4, {**ABOUT, **about})


def test_a_process_is_told_with_what_it_is(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "_started", {})
    before = time.time()
    numbers = make(directory)
    (process,) = host.look(directory).processes
    assert (process.pid, process.host) == (os.getpid(), socket.gethostname())
    assert process.program == state_file._program()
    assert before <= process.started <= time.time()
    assert list(process.pools) == ["default"]
    pool = process.pools["default"]
    assert (pool.alias, pool.settings) == ("default", SETTINGS)
    del numbers


@pytest.mark.parametrize(
    ("other", "count"),
    [({}, 1), ({"pid": 8}, 2), ({"host": "there"}, 2), ({"process": 101.0}, 2)],
)
def test_processes_are_told_apart(
    directory: Path, other: dict[str, Any], count: int
) -> None:
    """Containers that share the directory number theirs alike; so does a restart."""
    files = [make(directory, **SEVEN), make(directory, **{**SEVEN, **other})]
    for numbers in files:
        numbers.was_reset()
    processes = host.look(directory).processes
    assert {(one.pid, one.host, one.program, one.started) for one in processes} == {
        tuple(SEVEN.values()),
        tuple({**SEVEN, **other}.values()),
    }
    resets = [one.pools["default"].stats.resets for one in processes]
    assert (len(resets), sum(resets)) == (count, 2)


def test_the_oldest_process_is_told_first(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the names of their files, in whose order these are read."""
    names = iter("abcd")
    monkeypatch.setattr("secrets.token_hex", lambda size: next(names))
    ages = [(7, 300.0), (9, 100.0), (8, 200.0), (5, 200.0)]
    files = [make(directory, pid=pid, process=started) for pid, started in ages]
    told = [(one.pid, one.started) for one in host.look(directory).processes]
    assert told == [(9, 100.0), (5, 200.0), (8, 200.0), (7, 300.0)]
    del files


def test_the_pools_of_a_process_are_told_by_alias(directory: Path) -> None:
    files = [make(directory, alias=alias) for alias in ("default", "replica")]
    files[0].was_reset()
    (process,) = host.look(directory).processes
    assert set(process.pools) == {"default", "replica"}
    for alias, resets in (("default", 1), ("replica", 0)):
        pool = process.pools[alias]
        assert (pool.alias, pool.stats.resets) == (alias, resets)


def test_what_a_disposed_pool_has_out_counts_with_the_pool_that_replaced_it(
    directory: Path,
) -> None:
    files = [make(directory, **SEVEN) for _ in range(2)]
    for number, numbers in enumerate(files, start=1):
        slot = numbers.occupy(number)
        assert slot is not None
        numbers.lent(0.0, 1.0, slot)
    (process,) = host.look(directory).processes
    pool = process.pools["default"]
    assert {held.connection_id for held in pool.connections} == {1, 2}
    assert (pool.alias, pool.settings, pool.stats.in_use) == ("default", SETTINGS, 2)


def test_sums_are_of_all_processes_alive_or_not_in_the_order_of_their_names(
    directory: Path,
) -> None:
    for alias in ("replica", "archive"):
        make(directory, alias=alias).was_reset()
        gc.collect()
        host.look(directory)
    alive = [make(directory, pid=7, alias=alias) for alias in ("replica", "default")]
    alive.append(make(directory, pid=8, alias="replica"))
    for numbers in alive:
        numbers.was_reset()
    totals = host.look(directory).totals()
    assert [(alias, totals[alias].resets) for alias in totals] == [
        ("archive", 1),
        ("default", 1),
        ("replica", 3),
    ]
