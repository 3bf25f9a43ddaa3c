"""What is kept of processes that have ended, and what is removed."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import pytest

from pooled_db.pool import ended, host, reading, state_file
from pooled_db.pool.numbers import LIMIT, PEAK, Numbers, to_stats


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


def make(directory: Path) -> Numbers:
    return state_file.create(directory, 4, {"alias": "default", "settings": {}})


def end_after_a_reset(directory: Path) -> None:
    make(directory).was_reset()
    gc.collect()


def test_only_what_was_counted_is_kept(directory: Path) -> None:
    """What was true of one moment is true no more."""
    numbers = make(directory)
    numbers.was_reset()
    numbers.granted(4)
    numbers.had_no_room(1.0)
    numbers.words[LIMIT] = numbers.words[PEAK] = 4
    numbers.line_is(3, 100.0, True)
    (file,) = map(reading.read, directory.glob("*.pool"))
    assert file is not None
    kept = ended.together({}, [file])["default"]
    assert {name: kept[name] for name in kept if kept[name]} == {"resets": 1}
    del numbers
    gc.collect()
    for _ in range(2):
        assert host.look(directory).totals() == {"default": to_stats({"resets": 1})}


@pytest.mark.parametrize("part", [0.0000004, 0.0000006, 0.1, 0.1000006])
def test_no_sum_changes_when_a_process_ends(directory: Path, part: float) -> None:
    """Not even by a millionth: a counter that goes back has begun anew."""
    processes = []
    for _ in range(3):
        processes.append(make(directory))
        processes[-1].given_back(part, None)
    sums = []
    for _ in range(4):
        uses = host.look(directory).totals()["default"].uses
        sums.append((uses.sum, uses.count))
        del processes[:1]
        gc.collect()
    assert set(sums) == {(round(3 * round(part, 6), 6), 3)}


@pytest.mark.parametrize(("age", "is_left"), [(50.0, True), (70.0, False)])
def test_a_file_that_was_never_finished_is_removed_after_a_minute(
    directory: Path, age: float, is_left: bool
) -> None:
    state_file.private(directory)
    begun = directory / "1-abc.new"
    begun.touch()
    written = time.time() - age
    os.utime(begun, (written, written))
    host.look(directory)
    assert begun.exists() == is_left


def test_what_somebody_else_removes_meanwhile_keeps_nobody_from_looking(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as what clears up where files have not changed for long."""
    end_after_a_reset(directory)
    (file,) = directory.glob("*.pool")

    def read(path: Path) -> reading.StateFile | None:
        found = reading.read(path)
        path.unlink()
        return found

    monkeypatch.setattr(ended, "read", read)
    assert host.look(directory).totals()["default"].resets == 1
    monkeypatch.setattr(ended, "paths", lambda directory, suffix: [file])
    assert host.look(directory).totals()["default"].resets == 1


@pytest.mark.parametrize("is_replaced", [False, True])
@pytest.mark.parametrize("later", [0, 1])
def test_a_base_that_was_written_anew_is_seen_to_be_another(
    directory: Path, is_replaced: bool, later: int
) -> None:
    """Two may be written at one tick of a clock, and a file's number is used again."""
    directory.mkdir()
    base, new = directory / ended.BASE, directory / "new"
    marks = []
    for path, at in ((base, 0), (new, later)):
        path.touch()
        os.utime(path, ns=(at, at))
    marks.append(ended.mark(directory))
    if is_replaced:
        new.replace(base)
    else:
        os.utime(base, ns=(later, later))
    marks.append(ended.mark(directory))
    assert (marks[0] != marks[1]) == (is_replaced or bool(later))


@pytest.mark.parametrize("ended_before", [0, 1])
def test_a_look_begins_anew_when_somebody_folds_in_its_middle(
    directory: Path, monkeypatch: pytest.MonkeyPatch, ended_before: int
) -> None:
    for _ in range(ended_before):
        end_after_a_reset(directory)
        host.look(directory)
    end_after_a_reset(directory)
    fold, looks = ended.fold, 0

    def read_base(directory: Path) -> tuple[dict[str, reading.Counts], set[str]]:
        nonlocal looks
        found = ended.read_base(directory)
        looks += 1
        if looks == 1:
            fold(directory)
        return found

    monkeypatch.setattr(host, "fold", lambda directory: None)
    monkeypatch.setattr(host, "read_base", read_base)
    assert host.look(directory).totals()["default"].resets == ended_before + 1
    assert looks == 2


def test_a_look_begins_anew_ten_times_at_most_however_many_end(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends while somebody folds in the middle of each."""
    fold, looks = ended.fold, 0

    def read_base(directory: Path) -> tuple[dict[str, reading.Counts], set[str]]:
        nonlocal looks
        looks += 1
        end_after_a_reset(directory)
        fold(directory)
        return ended.read_base(directory)

    monkeypatch.setattr(host, "read_base", read_base)
    assert host.look(directory).totals()["default"].resets == 10
    assert looks == 10
