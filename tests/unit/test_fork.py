"""Who starts anew in a child, also in one that was forked behind Python's back."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from django.db import connections

from pooled_db import fork, pools
from pooled_db.pool.pool import Pool
from tests.forks import in_child

#: The number of no process.
PARENT = -1


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of which process it was when somebody has started anew."""
    started: list[int] = []
    monkeypatch.setattr(fork, "_in_child", [lambda: started.append(fork.process)])
    return started


def test_who_notices_the_fork_has_all_start_anew_once(
    monkeypatch: pytest.MonkeyPatch, started: list[int]
) -> None:
    monkeypatch.setattr(fork, "process", PARENT)
    assert fork.in_new_child()
    fork.notice_fork()
    assert not fork.in_new_child()
    fork.notice_fork()
    assert started == [PARENT]


def test_whoever_notices_it_at_the_same_time_leaves_it_to_the_first(
    monkeypatch: pytest.MonkeyPatch, started: list[int]
) -> None:
    class Lock:
        """Another thread has had it until now."""

        def __enter__(self) -> None:
            fork._start_anew()

        def __exit__(self, *args: object) -> None: ...

    monkeypatch.setattr(fork, "process", PARENT)
    monkeypatch.setattr(fork, "_lock", Lock())
    fork.notice_fork()
    assert started == [PARENT]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_python_tells_of_its_own_forks(started: list[int]) -> None:
    parent = os.getpid()
    assert in_child(lambda: (started, fork.process) == ([parent], os.getpid())) == 0
    assert started == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    "ask",
    [
        lambda: pools.for_alias("default"),
        lambda: pools.for_wrapper(connections["default"]),  # type: ignore[arg-type]
    ],
    ids=["alias", "wrapper"],
)
def test_whoever_asks_for_a_pool_notices_the_fork(ask: Callable[[], Pool]) -> None:
    def work() -> bool:
        parents = ask()
        fork.process = PARENT
        return ask() is not parents and parents.is_disposed

    assert in_child(work) == 0
