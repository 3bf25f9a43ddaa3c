"""The other pools of this host for the same server, as their files tell of them."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..driver.slot import CONNECTION
from .share import Sibling
from .state_file import LAYOUT, SUFFIX, head_of

#: For how many seconds a refused connect counts: who wants more tries oftener.
RECENT = 2.0


class SiblingPools:
    """Those whose files in *directory* name the same *place*, but not the file *own*.

    A file is opened once, and read where it is mapped: some microseconds for each.
    """

    def __init__(
        self,
        directory: Path,
        place: str,
        own: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._place = place
        self._own = own
        self._clock = clock
        self._known: dict[str, _File | None] = {}

    def __call__(self) -> list[Sibling]:
        """Return what each of them has at this moment; of none if nothing is there."""
        try:
            names = {one for one in os.listdir(self._directory) if _is_pool(one)}
        except OSError:
            names = set()
        names.discard(self._own)
        for gone in self._known.keys() - names:
            self._known.pop(gone)
        found = []
        for name in names:
            if name not in self._known:
                self._known[name] = _opened(self._directory / name, self._place)
            file = self._known[name]
            if file is not None:
                if file.is_alive():
                    found.append(file.sibling(self._clock()))
                else:
                    self._known[name] = None
        return found


class _File:
    """One of their files, open."""

    def __init__(self, descriptor: int, head: dict[str, Any], at: int) -> None:
        self._descriptor = descriptor
        content = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))[at:]
        self._words = content.cast("q")
        self._times = content.cast("d")
        self._limit = head["words"].index("limit")
        self._no_room = len(head["words"]) + head["times"].index("no_room")
        slots = len(head["words"]) + len(head["times"])
        self._connections = self._words[slots + CONNECTION :: head["slot_size"]]

    def is_alive(self) -> bool:
        """Whether its process is there, which holds the lock."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def sibling(self, now: float) -> Sibling:
        count = sum(map(bool, self._connections.tolist()))
        limit = self._words[self._limit]
        refused = self._times[self._no_room]
        is_hungry = count < limit and now - refused < RECENT
        return Sibling(count, limit, is_hungry)


def _is_pool(name: str) -> bool:
    return name.endswith(SUFFIX)


def _opened(path: Path, place: str) -> _File | None:
    """Open the file at *path*; ``None`` if it is of another place, or of no use."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.ExitStack() as closing:
        closing.callback(os.close, descriptor)
        try:
            head, at = head_of(path.read_bytes())
            if head["layout"] != LAYOUT or head.get("place") != place:
                return None
            file = _File(descriptor, head, at)
        except (OSError, ValueError):
            return None
        closing.pop_all()
        weakref.finalize(file, os.close, descriptor)
        return file
