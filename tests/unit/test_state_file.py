"""What a state file tells of its process."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path

import pytest

from pooled_db.pool import state_file
from pooled_db.pool.reading import is_alive
from tests.harness.interrupts import Interrupted


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["/venv/bin/gunicorn", "shop.wsgi", "--env", "KEY=secret"], "gunicorn"),
        (["/venv/lib/gunicorn/__main__.py", "shop.wsgi"], "gunicorn"),
        (["/srv/manage.py", "runserver", "secret"], "manage.py runserver"),
        (["/venv/lib/django/__main__.py", "migrate"], "django migrate"),
        (["/venv/bin/django-admin", "shell", "-c", "secret"], "django-admin shell"),
        (["/srv/manage.py"], "manage.py"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_a_program_is_told_without_what_may_be_a_secret(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], program: str
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert state_file._program() == program


def test_processes_of_other_versions_read_where_a_head_ends(tmp_path: Path) -> None:
    """Its length stands before it in eight bytes, and what follows is aligned."""
    text = json.dumps({"layout": 1, "text": 100 * "x"}).encode()
    content = len(text).to_bytes(8, "little") + text
    assert state_file.head_of(content) == (json.loads(text), 192)
    state_file.create(tmp_path / "state", 1, {"alias": "shop"})
    (file,) = (tmp_path / "state").glob("*.pool")
    content = file.read_bytes()
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert (head["layout"], head["slots"], head["alias"]) == (1, 1, "shop")


def test_the_files_of_a_process_tell_when_the_first_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is forked is another process."""
    monkeypatch.setattr(state_file, "_started", {})
    told = []
    for number, process in enumerate((4711, 4711, 4712)):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        monkeypatch.setattr(time, "time", lambda number=number: 1000.0 + number)
        name = state_file.create(tmp_path / "state", 1).file
        assert name is not None
        head, _ = state_file.head_of((tmp_path / "state" / name).read_bytes())
        told.append((head["pid"], head["process"]))
    monkeypatch.undo()
    assert told == [(4711, 1000.0), (4711, 1000.0), (4712, 1002.0)]


@pytest.mark.parametrize("mode", [0o755, 0o740, 0o720, 0o710, 0o704, 0o702, 0o701])
def test_a_directory_that_somebody_else_gets_at_is_not_private(
    tmp_path: Path, mode: int
) -> None:
    tmp_path.chmod(mode)
    assert not state_file.is_private(tmp_path)


def test_a_directory_is_made_with_those_above_it_and_nobody_else_gets_at_it(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "run" / "pools"
    for _ in range(2):
        state_file.private(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    directory.chmod(0o755)
    with pytest.raises(PermissionError, match="chmod 700"):
        state_file.private(directory)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no room"), Interrupted()])
@pytest.mark.parametrize("is_gone", [False, True])
def test_who_cannot_make_a_file_leaves_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    is_gone: bool,
) -> None:
    """Somebody may have tidied the directory up meanwhile."""

    def fail(unfinished: Path, finished: Path) -> None:
        if is_gone:
            os.unlink(unfinished)
        raise error

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(type(error)) as raised:
        state_file.create(tmp_path / "state", 1)
    assert raised.value is error
    assert os.listdir(tmp_path / "state") == []


def test_a_disk_that_becomes_full_on_the_way_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the process would end when it counts."""
    monkeypatch.setattr(os, "pwrite", lambda to, content, at: len(content) - 1)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as error:
        state_file.create(tmp_path / "state", 1)
    assert error.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path / "state") == []


def test_to_look_whether_a_process_is_there_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch()
    before = os.listdir("/proc/self/fd")
    assert not is_alive(path)
    assert len(os.listdir("/proc/self/fd")) == len(before)
