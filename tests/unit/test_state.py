"""Where the state of this site's pools is kept, and what is said if it cannot be."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db import fork
from pooled_db.pool.numbers import Numbers
from pooled_db.pool.share import no_siblings


@pytest.fixture
def in_child(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What the fresh module has called in a forked child."""
    in_child: list[Callable[[], None]] = []
    monkeypatch.setattr(fork, "_in_child", in_child)
    return in_child


@pytest.fixture
def state(in_child: object) -> Any:
    """The module as a process has it that has just started."""
    spec = importlib.util.find_spec("pooled_db.state")
    assert spec is not None
    assert spec.loader is not None
    state = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(state)
    return state


def test_a_directory_that_cannot_be_used_is_logged_once_in_each_process(
    state: Any,
    in_child: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setattr(state, "directory", lambda: tmp_path)
    with caplog.at_level(logging.WARNING, "pooled_db"):
        for _ in range(2):
            assert state.numbers_for("default", 5, {}).file is None
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == (
            "The state of the pools cannot be seen from other processes: "
            f"{tmp_path} must belong to the user of this process, and be accessible "
            'to nobody else (chmod 700). Set POOLED_DB["STATE_DIR"] to a directory '
            "that this process may write to, or to None."
        )
        for start_anew in in_child:
            start_anew()
        assert state.numbers_for("default", 5, {}).file is None
        assert len(caplog.records) == 2


def test_where_nothing_is_to_be_seen_a_pool_counts_for_itself(
    state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "directory", lambda: None)
    assert state.numbers_for("default", 5, {}).file is None


@pytest.mark.parametrize(("mode", "is_used"), [(0o777, False), (0o700, True)])
def test_no_other_user_may_put_a_directory_in_the_place_of_the_default_one(
    state: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mode: int,
    is_used: bool,
) -> None:
    monkeypatch.setattr(state, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(state, "directory", state.default_directory)
    parent = state.default_directory().parent
    parent.mkdir()
    parent.chmod(mode)
    numbers = state.numbers_for("default", 5, {})
    assert (numbers.file is not None) is is_used
    numbers.leave()


def test_what_others_have_left_and_nobody_can_remove_is_no_hindrance(
    state: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(path: Path) -> None:
        raise PermissionError(path)

    tmp_path.chmod(0o700)
    monkeypatch.setattr(state, "directory", lambda: tmp_path)
    monkeypatch.setattr(state, "fold", fail)
    numbers = state.numbers_for("default", 5, {})
    assert numbers.file is not None
    numbers.leave()


def test_what_no_other_process_can_see_has_no_siblings(
    state: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(state, "directory", lambda: tmp_path)
    assert state.siblings_of(Numbers(), "here") is no_siblings
    monkeypatch.setattr(state, "directory", lambda: None)
    assert state.siblings_of(Numbers(), "here") is no_siblings


@pytest.mark.parametrize(
    ("is_there", "is_writable"), [(True, True), (True, False), (False, True)]
)
def test_without_memory_to_write_to_it_is_a_temporary_directory(
    state: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_there: bool,
    is_writable: bool,
) -> None:
    memory = tmp_path if is_there else tmp_path / "nowhere"
    monkeypatch.setattr(state, "SHARED_MEMORY", memory)
    monkeypatch.setattr(state.os, "access", lambda path, mode: is_writable)
    parent = memory if is_there and is_writable else Path(tempfile.gettempdir())
    assert state.default_directory().parent.parent == parent


def test_each_site_has_a_directory_of_its_own(
    state: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found: list[Path] = []
    for module in ("shop.settings", "blog.settings", "shop.settings"):
        names = SimpleNamespace(SETTINGS_MODULE=module)
        monkeypatch.setattr(state, "settings", names)
        found.append(state.default_directory())
    assert found[0] == found[2] != found[1]
    assert {path.parent.name for path in found} == {f"pooled_db-{os.geteuid()}"}
    monkeypatch.chdir(tmp_path)  # where another site of that name may be
    assert state.default_directory() != found[0]


def test_the_directory_of_a_site_is_told_by_the_file_of_its_settings(
    state: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever its processes are started."""
    names = SimpleNamespace(SETTINGS_MODULE="shop.settings")
    monkeypatch.setattr(state, "settings", names)
    found: list[Path] = []
    for file in ("/srv/shop.py", "/srv/shop.py", "/home/me/shop.py"):
        module = SimpleNamespace(__file__=file)
        monkeypatch.setitem(sys.modules, "shop.settings", module)
        found.append(state.default_directory())
        monkeypatch.chdir(tmp_path)
    assert found[0] == found[1] != found[2]
