"""The numbers of processes that have ended, added up in one file: the base.

So what is counted never becomes less. Whoever looks folds what has ended, one at a
time: a new base takes the place of the old, and names the files that are in it, before
these are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from .numbers import GAUGES
from .reading import Counts, StateFile, is_alive, locks, paths, read
from .state_file import SUFFIX, UNFINISHED, is_private
from .stats import added

BASE: Final = "ended.json"
LOCK: Final = "lock"
#: After how many seconds a file that was never finished is removed.
ABANDONED = 60.0


def fold(directory: Path) -> None:
    """Put the files of processes that have ended into the base, if that is possible.

    Nothing is done if somebody else is at it, or if the directory cannot be written.
    """
    with _only_one(directory) as mine:
        if not mine:
            return
        sums, folded = read_base(directory)
        left = []
        for path in paths(directory, SUFFIX):
            if path.name in folded:
                # Whoever put it there has come no further.
                path.unlink(missing_ok=True)
            elif not is_alive(path):
                left.append(path)
        dead = [file for file in map(read, left) if file is not None]
        names = [file.path.name for file in dead]
        if dead and _write_base(directory, together(sums, dead), names):
            for file in dead:
                file.path.unlink(missing_ok=True)
        for path in paths(directory, UNFINISHED):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def mark(directory: Path) -> tuple[int, int]:
    """What changes whenever the base does."""
    try:
        status = (directory / BASE).stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


def read_base(directory: Path) -> tuple[dict[str, Counts], set[str]]:
    """Return the sums by alias, and the names of the files that are in them."""
    try:
        base = json.loads((directory / BASE).read_bytes())
        return base["sums"], set(base["files"])
    except (FileNotFoundError, ValueError, KeyError):
        # None yet, or a machine that stopped has left half of one: better to begin anew
        # than to tell nothing of those that are alive.
        return {}, set()


def together(sums: dict[str, Counts], files: Iterable[StateFile]) -> dict[str, Counts]:
    """Add the numbers of *files* to *sums*."""
    result = {alias: dict(numbers) for alias, numbers in sums.items()}
    for file in files:
        one = result.setdefault(file.head["alias"], {})
        for name, number in file.numbers.items():
            if name not in GAUGES:
                before = one.get(name, 0)
                is_time = name in file.head["times"]
                one[name] = added(before, number) if is_time else before + number
    return result


def _write_base(directory: Path, sums: dict[str, Counts], files: list[str]) -> bool:
    """Whether the new base is in its place; a disk can be full."""
    new = directory / f"{secrets.token_hex(6)}{UNFINISHED}"
    try:
        new.touch(0o600)
        new.write_text(json.dumps({"sums": sums, "files": files}))
        os.replace(new, directory / BASE)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        return False
    return True


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[bool]:
    """Whether nobody else folds now, nor can before the end."""
    descriptor = _opened_lock(directory)
    if descriptor is None:
        yield False
        return
    try:
        yield locks(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _opened_lock(directory: Path) -> int | None:
    """Open the lock; ``None`` if this process may not write beside it.

    Another user, such as root, may, and only looks all the same: the processes whose
    directory it is could not read what is theirs. And where others get in, as in /tmp,
    no process keeps anything: what is there is not to be removed.
    """
    try:
        if not is_private(directory):
            return None
        return os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
