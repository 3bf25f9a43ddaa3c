"""What a state file tells of its process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pooled_db.pool import state_file


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["/venv/bin/gunicorn", "shop.wsgi", "--env", "KEY=secret"], "gunicorn"),
        (["/venv/lib/gunicorn/__main__.py", "shop.wsgi"], "gunicorn"),
        (["/srv/manage.py", "runserver", "secret"], "manage.py runserver"),
        (["/venv/lib/django/__main__.py", "migrate"], "django migrate"),
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
