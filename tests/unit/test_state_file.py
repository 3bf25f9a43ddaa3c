"""What a state file tells of its process."""

from __future__ import annotations

import sys

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
