"""What the state files of processes say, together and after their end."""

from __future__ import annotations

import dataclasses
import errno
import gc
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pooled_db.driver.slot import AT_WORK, RESTED, SINCE, padded
from pooled_db.exceptions import Reason
from pooled_db.pool import ended, host, reading, state_file
from pooled_db.pool import numbers as numbers_module
from pooled_db.pool.numbers import CLOSED_FOR, Numbers
from pooled_db.pool.stats import BOUNDS, Histogram, PoolStats, total

ABOUT = {"alias": "default", "settings": {"hold": "request"}}


def make(directory: Path, alias: str = "default") -> Numbers:
    return state_file.create(directory, 4, {**ABOUT, "alias": alias})


def child(work: Callable[[], None]) -> int:
    """Fork a process that does *work* and then hangs; its number."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(told, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(ready, 1) == b"!"
    os.close(ready)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def end_after_a_reset(directory: Path) -> None:
    """Let a process count one reset, and kill it."""

    def work() -> None:
        numbers = make(directory)
        numbers.was_reset()
        keep.append(numbers)

    keep: list[Numbers] = []
    kill(child(work))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    gc.collect()


def test_a_directory_that_is_not_there_has_nothing(directory: Path) -> None:
    assert host.look(directory) == host.Host()


def test_a_file_that_is_gone_when_it_is_read_has_nothing(tmp_path: Path) -> None:
    """Its process has ended just then, and another has folded it."""
    gone = tmp_path / "1-gone.pool"
    assert reading.read(gone) is None
    assert reading.is_alive(gone)  # nobody is to fold it again


@pytest.mark.parametrize("before", ["", "x"])
def test_a_long_path_is_cut_wherever_that_is_in_a_character(
    directory: Path, before: str
) -> None:
    numbers = make(directory)
    slot = numbers.occupy(7)
    assert slot is not None
    numbers.lent(0.0, 1.0, slot)
    slot.text[:] = padded(f"GET /{before}{'ö' * 500}")
    (process,) = host.look(directory).processes
    (held,) = process.pools["default"].loans
    assert held.who.startswith(f"GET /{before}öö")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_nobody_else_gets_at_directory_or_files(directory: Path) -> None:
    end_after_a_reset(directory)
    numbers = make(directory)
    host.look(directory)
    assert {path.name for path in directory.iterdir()} > {ended.BASE}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {0o600}
    del numbers


def test_an_open_directory_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(PermissionError, match="chmod 700"):
        make(directory)
    assert list(directory.iterdir()) == []


def test_in_an_open_directory_nothing_is_removed(directory: Path) -> None:
    """As in /tmp, where "x.new" is somebody else's."""
    directory.mkdir()
    directory.chmod(0o755)
    (directory / "x.new").touch()
    os.utime(directory / "x.new", (0, 0))
    host.look(directory)
    assert [path.name for path in directory.iterdir()] == ["x.new"]


def test_a_directory_that_fills_up_in_between_is_an_error_of_the_system(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pwrite(descriptor: int, content: bytes, at: int) -> int:
        return write(descriptor, content[:4096], at)

    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left"):
        state_file.create(directory, 100, ABOUT)
    assert list(directory.iterdir()) == []


def test_what_is_counted_is_read(directory: Path) -> None:
    numbers = make(directory)
    for reason in Reason:
        numbers.refused(reason)
    for what in CLOSED_FOR:
        numbers.closed(what)
    numbers.connected(0.003)
    numbers.was_reset()
    numbers.was_called_back()
    slot = numbers.occupy(7)
    assert slot is not None
    numbers.lent(0.02, 5.0, slot)
    numbers.were_lent(1)
    numbers.given_back(0.2, slot)

    (process,) = host.look(directory).processes
    stats = process.pools["default"].stats

    assert process.pid == os.getpid()
    assert stats.refused_by == {reason.value: 1 for reason in Reason}
    assert stats.refused == len(Reason)
    assert stats.closed == dict.fromkeys(CLOSED_FOR, 1)
    assert (stats.opened, stats.resets, stats.called_back) == (1, 1, 1)
    assert (stats.checkouts, stats.peak, stats.idle, stats.in_use) == (1, 1, 1, 0)
    assert (stats.connects.sum, stats.waits.sum, stats.uses.sum) == (0.003, 0.02, 0.2)


def test_a_connection_without_a_number_is_seen(directory: Path) -> None:
    """MySQL Router gives none to those that share its connections."""
    numbers = make(directory)
    slots = [numbers.occupy(0) for _ in range(2)]
    assert slots[0] is not None
    numbers.lent(0.0, 5.0, slots[0])

    (process,) = host.look(directory).processes
    pool = process.pools["default"]

    assert (pool.stats.in_use, pool.stats.idle) == (1, 1)
    assert [held.connection_id for held in pool.connections] == [0, 0]


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ("waits", lambda numbers, seconds: numbers.lent(seconds, 1.0, None)),
        ("uses", lambda numbers, seconds: numbers.given_back(seconds, None)),
        ("connects", Numbers.connected),
    ],
)
def test_a_histogram_counts_up_to_its_bounds(
    what: str, count: Callable[[Numbers, float], None]
) -> None:
    numbers = Numbers()
    for seconds in (*BOUNDS, 31.0):
        count(numbers, seconds)
    count(numbers, 0.0)
    told = numbers.read()
    counts = tuple(told[f"{what}.{le}"] for le in (*BOUNDS, "inf"))
    assert counts == (2, *[1] * (len(BOUNDS) - 1), 1)
    assert told[f"{what}.sum"] == pytest.approx(sum(BOUNDS) + 31.0)


@pytest.mark.parametrize(
    "overloaded", [(False, False), (False, True), (True, False), (True, True)]
)
def test_pools_are_overloaded_together_if_one_of_them_is(
    overloaded: tuple[bool, bool],
) -> None:
    whole = total(PoolStats(overloaded=one) for one in overloaded)
    assert whole.overloaded is (overloaded != (False, False))


def test_the_sum_of_no_pools_is_nothing() -> None:
    whole = dataclasses.asdict(total([]))
    histograms = [whole.pop(name) for name in ("waits", "uses", "connects")]
    assert not any(whole.values())
    assert not any(any(one["counts"]) or one["sum"] for one in histograms)


def test_histograms_and_numbers_are_added_up() -> None:
    one = PoolStats(
        limit=2,
        oldest_wait=1.0,
        refused_by={"timeout": 1},
        waits=Histogram((1,) * (len(BOUNDS) + 1), 2.0),
    )
    two = PoolStats(limit=3, oldest_wait=4.0, overloaded=True, refused_by={"other": 2})
    both = total((one, two))
    assert (both.limit, both.oldest_wait, both.overloaded) == (5, 4.0, True)
    assert total((two, two)).overloaded is True
    assert both.refused_by == {"timeout": 1, "other": 2}
    assert (both.waits.count, both.waits.sum) == (len(BOUNDS) + 1, 2.0)
    assert both.waits.mean == 2.0 / (len(BOUNDS) + 1)


def test_a_loan_is_told_as_it_is(directory: Path) -> None:
    numbers = make(directory)
    slots = [numbers.occupy(number) for number in (11, 12, 13)]
    idle, ready, at_work = slots
    assert idle is not None
    assert ready is not None
    assert at_work is not None
    numbers.lent(0.0, 1.0, ready)
    numbers.lent(0.0, 1.0, at_work)
    at_work.text[:] = padded("GET /orders/<pk>/ (shop.order)")
    at_work.words[AT_WORK] = 1

    (process,) = host.look(directory).processes
    pool = process.pools["default"]

    assert [held.state for held in pool.connections] == ["idle", "ready", "at work"]
    assert [held.connection_id for held in pool.loans] == [12, 13]
    assert pool.loans[1].who == "GET /orders/<pk>/ (shop.order)"
    assert (pool.stats.in_use, pool.stats.at_work, pool.stats.at_rest) == (2, 1, 1)
    at_work.words[AT_WORK] = 0
    (process,) = host.look(directory).processes
    pool = process.pools["default"]
    assert pool.connections[2].state == "at rest"
    assert (pool.stats.in_use, pool.stats.at_work, pool.stats.at_rest) == (2, 0, 2)
    numbers.given_back(0.0, at_work)
    (process,) = host.look(directory).processes
    assert process.pools["default"].connections[2].state == "idle"
    numbers.vacate(at_work)
    (process,) = host.look(directory).processes
    assert [one.state for one in process.pools["default"].connections] == [
        "idle",
        "ready",
    ]
    assert at_work.times[SINCE] == 0.0


def test_times_are_told_in_seconds_until_now(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SimpleNamespace(monotonic=lambda: 100.0)
    for module in (numbers_module, reading, host):
        monkeypatch.setattr(module, "time", now)
    numbers = make(directory)
    numbers.line_is(1, 105.0, False)
    slot = numbers.occupy(7)
    assert slot is not None
    numbers.lent(0.0, 103.0, slot)
    slot.text[:] = padded("GET /orders/")

    now.monotonic = lambda: 110.0
    (process,) = host.look(directory).processes
    (held,) = process.pools["default"].connections
    assert (held.age, held.lent, held.rested) == (10.0, 7.0, 7.0)
    slot.times[RESTED] = 106.0
    (process,) = host.look(directory).processes
    (held,) = process.pools["default"].connections
    assert (held.age, held.lent, held.rested) == (10.0, 7.0, 4.0)
    assert process.pools["default"].stats.oldest_wait == 5.0


def test_who_waits_is_told(directory: Path) -> None:
    numbers = make(directory)
    numbers.line_is(3, 1.0, True)
    numbers.granted(2)
    (process,) = host.look(directory).processes
    stats = process.pools["default"].stats
    assert (stats.waiting, stats.overloaded, stats.granted) == (3, True, 2)
    assert stats.oldest_wait > 0
    numbers.line_is(0, 0.0, False)
    (process,) = host.look(directory).processes
    assert process.pools["default"].stats.oldest_wait == 0.0


def test_more_connections_than_slots_do_no_harm() -> None:
    numbers = Numbers()
    assert numbers.occupy(1) is None
    numbers.lent(0.0, 1.0, None)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_frozen_process_is_read_and_a_killed_one_is_gone_and_counted(
    directory: Path,
) -> None:
    def work() -> None:
        numbers = make(directory)
        numbers.connected(0.1)
        slot = numbers.occupy(5)
        numbers.lent(0.5, 1.0, slot)
        keep.append(numbers)

    keep: list[Numbers] = []
    pid = child(work)
    try:
        os.kill(pid, signal.SIGSTOP)
        looked = host.look(directory)
        assert [process.pid for process in looked.processes] == [pid]
        assert looked.processes[0].pools["default"].loans[0].state == "ready"
        before = looked.totals()["default"]
    finally:
        kill(pid)
    for _ in range(2):
        looked = host.look(directory)
        assert looked.processes == ()
        after = looked.totals()["default"]
        assert (after.opened, after.waits) == (before.opened, before.waits)
        assert (after.in_use, after.idle, after.limit) == (0, 0, 0)
        assert after.granted == 0
    assert list(directory.glob("*.pool")) == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_look_that_ends_between_base_and_removal_counts_nothing_twice(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_after_a_reset(directory)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *args, **kwargs: None)
        assert host.look(directory).totals()["default"].resets == 1
        assert len(list(directory.glob("*.pool"))) == 1
        assert host.look(directory).totals()["default"].resets == 1
    end_after_a_reset(directory)
    assert host.look(directory).totals()["default"].resets == 2
    assert list(directory.glob("*.pool")) == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_another_user_only_looks(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_after_a_reset(directory)
    before = {path.name for path in directory.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)
        assert host.look(directory).totals()["default"].resets == 1
    assert {path.name for path in directory.iterdir()} == before
    assert host.look(directory).totals()["default"].resets == 1
    assert list(directory.glob("*.pool")) == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_who_cannot_write_counts_what_has_ended_all_the_same(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_after_a_reset(directory)
    monkeypatch.setattr(host, "fold", lambda directory: None)
    assert host.look(directory).totals()["default"].resets == 1


@pytest.mark.parametrize("fails", ["touch", "write_text"])
def test_a_full_disk_keeps_nobody_from_looking(
    directory: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    end_after_a_reset(directory)

    def write(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, fails, write)
        for _ in range(2):
            assert host.look(directory).totals()["default"].resets == 1
    assert not list(directory.glob(f"*{state_file.UNFINISHED}"))
    assert host.look(directory).totals()["default"].resets == 1
    assert not list(directory.glob(f"*{state_file.SUFFIX}"))


@pytest.mark.parametrize("left", ["", '{"sums": {"def', "{}"])
def test_half_a_base_keeps_nobody_from_looking(directory: Path, left: str) -> None:
    end_after_a_reset(directory)
    (directory / ended.BASE).write_text(left)
    for _ in range(2):
        assert host.look(directory).totals()["default"].resets == 1


def test_what_nobody_has_any_more_counts_as_ended(directory: Path) -> None:
    numbers = make(directory)
    numbers.was_reset()
    del numbers
    gc.collect()
    looked = host.look(directory)
    assert looked.processes == ()
    assert looked.totals()["default"].resets == 1


def test_two_pools_of_one_alias_are_one_in_a_process(directory: Path) -> None:
    old, new = make(directory), make(directory)
    old.was_reset()
    new.was_reset()
    (process,) = host.look(directory).processes
    assert process.pools["default"].stats.resets == 2


def test_a_file_of_another_kind_is_left_alone(directory: Path) -> None:
    numbers = make(directory)
    (directory / "other.pool").write_bytes(b"something else, and long enough")
    assert len(host.look(directory).processes) == 1
    assert (directory / "other.pool").exists()
    del numbers


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_sums_never_go_back_while_processes_end_and_many_look(
    directory: Path,
) -> None:
    def work() -> None:
        numbers = make(directory)
        for _ in range(10):
            numbers.was_reset()
        keep.append(numbers)

    keep: list[Numbers] = []
    seen: list[list[int]] = [[], []]
    over = threading.Event()

    def watch(mine: list[int]) -> None:
        while not over.is_set():
            totals = host.look(directory).totals()
            mine.append(totals["default"].resets if totals else 0)

    pids = [child(work) for _ in range(6)]
    threads = [threading.Thread(target=watch, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for pid in pids:
        kill(pid)
    over.set()
    for thread in threads:
        thread.join()
    for mine in seen:
        assert mine == sorted(mine)
        assert set(mine) <= {60}
    assert host.look(directory).totals()["default"].resets == 60


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_somebody_folds_in_the_middle_of_a_look_is_not_missed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_after_a_reset(directory)
    fold, base = ended.fold, ended.read_base
    folded: list[bool] = []

    def read_base(directory: Path) -> tuple[dict[str, reading.Counts], set[str]]:
        read = base(directory)
        if not folded:
            folded.append(True)
            fold(directory)
        return read

    monkeypatch.setattr(host, "fold", lambda directory: None)
    monkeypatch.setattr(host, "read_base", read_base)
    assert host.look(directory).totals()["default"].resets == 1
    assert list(directory.glob("*.pool")) == []
