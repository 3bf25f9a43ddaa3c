"""``manage.py pools --watch`` in a terminal, which it leaves as it found it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pooled_db.driver.slot import padded
from pooled_db.pool import state_file
from tests.harness.processes import PATIENCE, completed
from tests.sites import ROOT, site_settings

ENDS = {signal.SIGINT: 0, signal.SIGTERM: 128 + signal.SIGTERM}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever runs tests in the background, as a script does, ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize("rich", [True, False])
def test_the_terminal_gets_its_screen_back(
    number: signal.Signals, rich: bool, tmp_path: Path
) -> None:
    if rich:
        pytest.importorskip("rich")
    else:
        (tmp_path / "rich.py").write_text("raise ImportError")
    given = site_settings({}, POOLED_DB={"STATE_DIR": str(tmp_path / "none")})
    terminal, theirs = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "django", "pools", "--watch", "0.01"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_SETTINGS": json.dumps(given),
            "PYTHONPATH": str(tmp_path),
            "TERM": "xterm",
        },
        cwd=ROOT,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        shown = _read(terminal, lambda told: told.count(b"No process of") > 1)
        watching.send_signal(number)
        shown += _read(terminal, lambda _: False)
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
    assert watching.returncode == ENDS[number]
    assert b"Traceback" not in shown
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == rich


@pytest.mark.parametrize("watch", [[], ["--json"]])
def test_a_route_that_the_terminal_cannot_show_is_shown_as_far_as_it_can(
    watch: list[str], tmp_path: Path
) -> None:
    directory = tmp_path / "state"
    numbers = state_file.create(directory, 1, {"alias": "größe", "settings": {}})
    slot = numbers.occupy(7)
    assert slot is not None
    numbers.lent(0.0, 1.0, slot)
    slot.text[:] = padded("GET /größe/ (shop.size)")
    given = site_settings({}, POOLED_DB={"STATE_DIR": str(directory)})
    done = completed(
        [sys.executable, "-m", "django", "pools", "--no-server", *watch],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_SETTINGS": json.dumps(given),
            "PYTHONIOENCODING": "ascii",
        },
        cwd=ROOT,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert ("GET /gr??e/" in done.stdout) != bool(watch)


def _read(terminal: int, enough: Callable[[bytes], bool]) -> bytes:
    told = b""
    # Linux tells of the end of the other side by an error.
    with contextlib.suppress(OSError):
        while not enough(told):
            assert select.select([terminal], [], [], PATIENCE)[0], told
            told += os.read(terminal, 65536)
    return told
