"""What a pool sees of others of the same server, and whom it does not see."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pooled_db import state
from pooled_db.pool import siblings as siblings_module
from pooled_db.pool import state_file
from pooled_db.pool.numbers import LIMIT, Numbers
from pooled_db.pool.share import Sibling
from pooled_db.pool.siblings import SiblingPools

#: Documented: who was refused a connection within so many seconds wants more.
RECENT = 2.0
PLACE = "the server"


@pytest.fixture
def numbers(tmp_path: Path) -> Numbers:
    made = state_file.create(tmp_path, 4, {"alias": "default", "place": PLACE})
    made.words[LIMIT] = 4
    return made


@pytest.mark.parametrize("kind", ["gone", "no file", "empty"])
def test_what_cannot_be_read_is_nobodys(tmp_path: Path, kind: str) -> None:
    """Its process has ended just then, say."""
    path = tmp_path / "1-a.pool"
    if kind == "gone":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "no file":
        path.mkdir()
    else:
        path.touch()
    assert others(tmp_path)() == []


def others(directory: Path, own: str = "") -> SiblingPools:
    return SiblingPools(directory, PLACE, own)


def test_a_pool_is_seen_with_what_it_has(tmp_path: Path, numbers: Numbers) -> None:
    siblings = others(tmp_path)
    assert siblings() == [Sibling(0, 4, is_hungry=False)]

    slots = [numbers.occupy(number) for number in (7, 8, 9)]
    assert slots[0] is not None
    numbers.vacate(slots[0])
    numbers.had_no_room(time.monotonic())

    assert siblings() == [Sibling(2, 4, is_hungry=True)]
    numbers.had_no_room(time.monotonic() - RECENT)
    assert siblings() == [Sibling(2, 4, is_hungry=False)]


def test_a_pool_with_all_that_it_may_have_is_not_hungry(
    tmp_path: Path, numbers: Numbers
) -> None:
    for number in range(1, 5):
        numbers.occupy(number)
    numbers.had_no_room(time.monotonic())
    assert others(tmp_path)() == [Sibling(4, 4, is_hungry=False)]


def test_neither_itself_nor_other_servers_are_seen(
    tmp_path: Path, numbers: Numbers
) -> None:
    elsewhere = state_file.create(tmp_path, 4, {"alias": "other", "place": "another"})
    older = state_file.create(tmp_path, 4, {"alias": "default"})
    newer = state_file.create(
        tmp_path, 4, {"alias": "default", "place": PLACE, "layout": 2}
    )
    (tmp_path / "broken.pool").write_bytes(b"no head")
    assert numbers.file is not None

    assert others(tmp_path, own=numbers.file)() == []
    assert len(others(tmp_path)()) == 1
    assert others(tmp_path / "nowhere")() == []
    del elsewhere, older, newer


def test_where_no_process_shares_its_numbers_nobody_is_seen(
    numbers: Numbers, settings: Any
) -> None:
    settings.POOLED_DB = {"STATE_DIR": None}
    assert not state.siblings_of(numbers, PLACE)()


def open_files() -> list[str]:
    """What this process has open, as long as the system tells."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the directory itself
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return found


def test_a_file_that_is_gone_is_kept_open_by_nobody(
    tmp_path: Path, numbers: Numbers
) -> None:
    """Processes come and go."""
    siblings = others(tmp_path)
    before = len(open_files())
    assert len(siblings()) == 1
    assert len(open_files()) > before
    assert numbers.file is not None
    (tmp_path / numbers.file).unlink()
    assert siblings() == []
    gc.collect()
    assert len(open_files()) == before


def test_a_pool_that_nobody_has_any_more_is_not_seen(tmp_path: Path) -> None:
    made = state_file.create(tmp_path, 4, {"alias": "default", "place": PLACE})
    (tmp_path / "broken.pool").write_bytes(b"no head")
    siblings = others(tmp_path)
    assert len(siblings()) == len(siblings()) == 1
    del made
    gc.collect()
    assert siblings() == []
    gc.collect()
    assert not [one for one in open_files() if one.startswith(str(tmp_path))]


def test_a_file_is_opened_once(
    tmp_path: Path, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, open_it = [], siblings_module._opened

    def opens(path: Path, place: str) -> Any:
        opened.append(path.name)
        return open_it(path, place)

    monkeypatch.setattr(siblings_module, "_opened", opens)
    siblings = others(tmp_path)
    assert siblings() == siblings()
    assert opened == [numbers.file]


def test_a_process_that_has_ended_is_not_seen(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, time\n"
        "from pooled_db.pool import state_file\n"
        f"about = {{'alias': 'default', 'place': {PLACE!r}}}\n"
        "made = state_file.create(pathlib.Path(sys.argv[1]), 4, about)\n"
        "print('made', flush=True)\n"
        "time.sleep(600)\n"
    )
    siblings = others(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(siblings()) == 1
        os.kill(process.pid, signal.SIGKILL)
    assert siblings() == []
    # Processes come and go, and nobody may look who removes their files.
    assert not [one for one in open_files() if one.startswith(str(tmp_path))]
    (file,) = tmp_path.glob("*.pool")
    file.unlink()
    assert siblings() == []
