"""What a state file tells of its process."""

from __future__ import annotations

import errno
import json
import os
import sys
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
    assert (head["layout"], head["alias"]) == (1, "shop")


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
def test_who_cannot_make_a_file_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(type(error)):
        state_file.create(tmp_path / "state", 1)
    assert os.listdir(tmp_path / "state") == []


def test_to_look_whether_a_process_is_there_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch()
    before = os.listdir("/proc/self/fd")
    assert not is_alive(path)
    assert len(os.listdir("/proc/self/fd")) == len(before)
