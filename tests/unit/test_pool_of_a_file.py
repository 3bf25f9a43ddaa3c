"""How a pool is told of by those who read its state file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db.driver.slot import AT_WORK, OPENED_AT, OUTSIDE, TRANSACTION, padded
from pooled_db.pool import host, reading, state_file
from pooled_db.pool.host import ProcessPool
from pooled_db.pool.numbers import SIZE, Numbers
from pooled_db.pool.stats import PoolStats

NOW = 1000.0


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reading, host):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: NOW))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


def make(directory: Path, hold: str = "request") -> Numbers:
    about = {"alias": "default", "settings": {"hold": hold}}
    return state_file.create(directory, 4, about)


def lend(numbers: Numbers, since: float, who: str, at_work: bool = False) -> None:
    slot = numbers.occupy(7)
    assert slot is not None
    numbers.lent(0.0, since, slot)
    if who:
        slot.text[:] = padded(who)
    slot.words[AT_WORK] = at_work


def told(directory: Path) -> ProcessPool:
    (process,) = host.look(directory).processes
    return process.pools["default"]


def test_the_longest_loan_is_told_first(directory: Path) -> None:
    numbers = make(directory)
    for since in (NOW - 2.0, NOW - 9.0, NOW - 5.0):
        lend(numbers, since, "GET /orders/")
    assert [held.lent for held in told(directory).loans] == [9.0, 5.0, 2.0]


@pytest.mark.parametrize("ago", [0.25, 0.0, -0.25])
def test_times_are_told_to_the_fraction_and_never_below_none(
    directory: Path, ago: float
) -> None:
    """A process that writes meanwhile may be ahead of whoever reads."""
    numbers = make(directory)
    lend(numbers, NOW - ago, "GET /orders/")
    numbers.slots[0].times[OPENED_AT] = NOW - ago
    (held,) = told(directory).connections
    told_times = (held.lent, held.rested, held.age)
    assert told_times == (max(0.0, ago),) * 3


@pytest.mark.parametrize("at_work", [False, True])
def test_an_idle_connection_is_nobodys(directory: Path, at_work: bool) -> None:
    numbers = make(directory)
    lend(numbers, NOW - 1.0, "GET /orders/", at_work)
    numbers.given_back(1.0, numbers.slots[0])
    (held,) = told(directory).connections
    assert (held.state, held.who, held.lent, held.rested) == ("idle", "", None, None)


def test_who_has_a_transaction_open_is_at_work_between_its_statements(
    directory: Path,
) -> None:
    numbers = make(directory)
    lend(numbers, NOW - 1.0, "GET /orders/")
    numbers.slots[0].words[TRANSACTION] = True
    (held,) = told(directory).connections
    assert (held.state, held.in_transaction) == ("at work", True)
    numbers.given_back(1.0, numbers.slots[0])
    (held,) = told(directory).connections
    assert (held.state, held.in_transaction) == ("idle", False)


@pytest.mark.parametrize(
    ("hold", "who", "at_work", "on_call"),
    [
        ("request", "GET /orders/", False, 0),
        ("transaction", "GET /orders/", False, 1),
        ("transaction", "GET /orders/", True, 0),
        ("request", f"{OUTSIDE}at shop/tasks.py:3", False, 1),
        ("request", f"{OUTSIDE}at shop/tasks.py:3", True, 0),
        # Its request has not used it yet.
        ("request", "", False, 1),
    ],
)
def test_what_others_get_who_wait_is_on_call(
    directory: Path, hold: str, who: str, at_work: bool, on_call: int
) -> None:
    numbers = make(directory, hold)
    lend(numbers, NOW - 1.0, who, at_work)
    numbers.occupy(8)
    stats = told(directory).stats
    assert (stats.in_use, stats.at_work, stats.on_call) == (1, at_work, on_call)


@pytest.mark.parametrize(("since", "waited"), [(NOW - 0.25, 0.25), (NOW + 0.25, 0.0)])
def test_the_first_in_line_has_waited_until_now(
    directory: Path, since: float, waited: float
) -> None:
    numbers = make(directory)
    numbers.line_is(1, since, False)
    assert told(directory).stats.oldest_wait == waited


def test_a_version_that_counted_less_is_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a site is updated, processes of two versions tell one another."""
    words: Any = ("opened",)
    monkeypatch.setattr(state_file, "WORDS", words)
    monkeypatch.setattr(state_file, "TIMES", ("waits.sum",) * (SIZE - len(words)))
    numbers = make(directory)
    numbers.words[0] = 3
    stats = told(directory).stats
    assert stats == PoolStats(
        opened=3, refused_by=stats.refused_by, closed=stats.closed
    )
    assert not any((*stats.refused_by.values(), *stats.closed.values()))


def test_where_nothing_ends_one_look_is_enough(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = make(directory)
    reads: list[Path] = []

    def read(path: Path) -> reading.StateFile | None:
        reads.append(path)
        return reading.read(path)

    monkeypatch.setattr(host, "read", read)
    host.look(directory)
    assert [path.name for path in reads] == [numbers.file]
