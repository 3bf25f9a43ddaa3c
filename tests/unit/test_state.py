"""Where the state of this site's pools is kept, and what is said if it cannot be."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pooled_db import state


@pytest.fixture
def unusable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that others can read, which is not used."""
    directory = tmp_path / "pools"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    monkeypatch.setattr(state, "directory", lambda: directory)
    monkeypatch.setattr(state, "_warned", False)
    return directory


def make_numbers() -> None:
    assert state.numbers_for("default", 5, {}).file is None


def test_a_directory_that_cannot_be_used_is_logged_once_in_each_process(
    unusable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "pooled_db"):
        for _ in range(2):
            make_numbers()
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == (
            "The state of the pools cannot be seen from other processes: "
            f"{unusable} must belong to the user of this process, and be accessible "
            'to nobody else (chmod 700). Set POOLED_DB["STATE_DIR"] to a directory '
            "that this process may write to, or to None."
        )
        state._warn_again()  # as in a child
        make_numbers()
        assert len(caplog.records) == 2
