"""What one state file says of a pool, and whether its process is alive."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..driver.slot import (
    AT_WORK,
    CONNECTION,
    OPENED_AT,
    RESTED,
    SINCE,
    TEXT,
    TRANSACTION,
)
from .state_file import LAYOUT, head_of

#: What a pool has counted, by name.
Counts = dict[str, float]


@dataclass(frozen=True, slots=True)
class Held:
    """A connection, and who has it. Times are in seconds.

    ``connection_id`` is its number on the server, 0 if the server gives it none.

    ``lent`` is for how long it has been lent, ``None`` if it is idle; ``rested`` for
    how long nobody has worked with it, ``None`` while somebody does. ``who`` is empty
    for a request that has not used it yet.
    """

    connection_id: int
    who: str
    lent: float | None
    rested: float | None
    in_transaction: bool
    age: float

    @property
    def state(self) -> str:
        """``idle``, ``ready`` (not used yet), ``at work`` or ``at rest``."""
        if self.lent is None:
            return "idle"
        if not self.who:
            return "ready"
        return "at work" if self.rested is None else "at rest"


@dataclass(frozen=True, slots=True)
class StateFile:
    """A file as it was read. *numbers* are by the names that its head has."""

    path: Path
    alive: bool
    head: dict[str, Any]
    numbers: Counts
    connections: tuple[Held, ...]


def paths(directory: Path, suffix: str) -> list[Path]:
    """The files of *directory* whose names end with *suffix*, in a fixed order."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names) if name.endswith(suffix)]


def locks(descriptor: int, how: int) -> bool:
    """Lock a file if nobody else has locked it; ``False`` if somebody has."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_alive(path: Path) -> bool:
    """Whether the process of the file at *path* is there, which holds its lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # somebody has just removed it: it is nobody's to fold
    try:
        # Shared, so that two who look at once do not take each other for its process.
        return not locks(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def read(path: Path) -> StateFile | None:
    """Read one file; ``None`` if it is gone, or of a layout that is not known."""
    try:
        alive = is_alive(path)
        # In this order: once it is dead, nothing changes any more.
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        head, end = head_of(content)
    except ValueError:
        return None
    if head["layout"] != LAYOUT:
        return None
    words, times = len(head["words"]), len(head["times"])
    numbers = content[end : end + 8 * (words + times)]
    named: Counts = {
        **dict(zip(head["words"], memoryview(numbers).cast("q"), strict=False)),
        **dict(
            zip(
                head["times"],
                memoryview(numbers[8 * words :]).cast("d"),
                strict=False,
            )
        ),
    }
    slots = content[end + 8 * (words + times) :]
    size = 8 * head["slot_size"]
    now = time.monotonic()
    held = (_held(slots[at : at + size], now) for at in range(0, len(slots), size))
    return StateFile(path, alive, head, named, tuple(one for one in held if one))


def _held(slot: bytes, now: float) -> Held | None:
    words, times = memoryview(slot).cast("q"), memoryview(slot).cast("d")
    if not words[CONNECTION]:
        return None
    since = times[SINCE]
    text = slot[8 * TEXT :].partition(b"\0")[0] if since else b""
    who = text.decode(errors="replace")
    transaction = bool(since and words[TRANSACTION])
    rests = not (words[AT_WORK] or transaction)
    rested = max(0.0, now - max(since, times[RESTED])) if since and rests else None
    return Held(
        max(0, words[CONNECTION]),
        who,
        max(0.0, now - since) if since else None,
        rested,
        transaction,
        max(0.0, now - times[OPENED_AT]),
    )
