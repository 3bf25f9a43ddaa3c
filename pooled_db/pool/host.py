"""The pools of all processes of this host, as their state files tell of them.

``look(directory)`` is all that a table, a dashboard or an exporter needs. It takes no
lock that a process could hold while it hangs, asks no process and no server, and can be
done while every pool is exhausted.

The files of processes that have ended are folded into one, the base, so that what is
counted never becomes less. Whoever looks does that, one at a time: a new base takes the
place of the old, and names the files that are in it, before these are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..driver.slot import (
    AT_WORK,
    CONNECTION,
    OPENED_AT,
    OUTSIDE,
    RESTED,
    SINCE,
    TEXT,
    TRANSACTION,
)
from .numbers import GAUGES, to_stats
from .state_file import LAYOUT, SUFFIX, UNFINISHED, head_of
from .stats import PoolStats, added, total

BASE: Final = "ended.json"
LOCK: Final = "lock"
#: How often a look begins anew, if processes keep ending meanwhile.
TRIES = 10
#: After how many seconds a file that was never finished is removed.
ABANDONED = 60.0

Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Held:
    """A connection, and who has it. Times are in seconds.

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
class ProcessPool:
    """One alias in one process: its numbers, its connections, and its settings."""

    alias: str
    stats: PoolStats
    connections: tuple[Held, ...]
    settings: dict[str, Any]

    @property
    def loans(self) -> list[Held]:
        """The connections that are lent, the longest first."""
        lent = [held for held in self.connections if held.lent is not None]
        return sorted(lent, key=lambda held: -(held.lent or 0.0))


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is alive, be it frozen. ``started`` is on the wall clock."""

    pid: int
    host: str
    program: str
    started: float
    pools: dict[str, ProcessPool]


@dataclass(frozen=True, slots=True)
class Host:
    """All processes that keep their state in one directory, the oldest first.

    ``ended`` has the sums of those that have ended, by alias.
    """

    processes: tuple[Process, ...] = ()
    ended: dict[str, PoolStats] = field(default_factory=dict)

    def totals(self) -> dict[str, PoolStats]:
        """The numbers of all processes, by alias; what is counted never goes back."""
        stats: dict[str, list[PoolStats]] = {
            alias: [ended] for alias, ended in self.ended.items()
        }
        for process in self.processes:
            for alias, pool in process.pools.items():
                stats.setdefault(alias, []).append(pool.stats)
        return {alias: total(stats[alias]) for alias in sorted(stats)}


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    alive: bool
    head: dict[str, Any]
    numbers: Numbers
    connections: tuple[Held, ...]


def look(directory: Path) -> Host:
    """Read the state of all pools of *directory*, and fold what has ended.

    A directory that is not there has none. Raises OSError if it cannot be read.
    """
    fold(directory)
    ended, files = _consistent(directory)
    dead = [file for file in files if not file.alive]
    return Host(
        _processes(file for file in files if file.alive),
        {
            alias: to_stats(numbers, limit=0, peak=0)
            for alias, numbers in _with(ended, dead).items()
        },
    )


def fold(directory: Path) -> None:
    """Put the files of processes that have ended into the base, if that is possible.

    Nothing is done if somebody else is at it, or if the directory cannot be written.
    """
    with _only_one(directory) as mine:
        if not mine:
            return
        sums, folded = _base(directory)
        left = []
        for path in _paths(directory, SUFFIX):
            if path.name in folded:
                # Whoever put it there has come no further.
                path.unlink(missing_ok=True)
            elif not _is_alive(path):
                left.append(path)
        dead = [file for file in map(_read, left) if file is not None]
        names = [file.path.name for file in dead]
        if dead and _write_base(directory, _with(sums, dead), names):
            for file in dead:
                file.path.unlink(missing_ok=True)
        for path in _paths(directory, UNFINISHED):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def _consistent(directory: Path) -> tuple[dict[str, Numbers], list[_File]]:
    """Read base and files so that nothing is in both and nothing in neither."""
    for _ in range(TRIES):
        before = _mark(directory)
        sums, folded = _base(directory)
        paths = [one for one in _paths(directory, SUFFIX) if one.name not in folded]
        files = [file for file in map(_read, paths) if file is not None]
        if _mark(directory) == before:
            break
    return sums, files


def _mark(directory: Path) -> tuple[int, int]:
    """What changes whenever the base does."""
    try:
        status = (directory / BASE).stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


def _paths(directory: Path, suffix: str) -> list[Path]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names) if name.endswith(suffix)]


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[bool]:
    """Whether nobody else folds now, nor can before the end."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(directory / LOCK, flags, 0o600)
    except OSError:
        yield False
        return
    try:
        yield _locks(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _locks(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_alive(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # somebody has just removed it: it is nobody's to fold
    try:
        # Shared, so that two who look at once do not take each other for its process.
        return not _locks(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _base(directory: Path) -> tuple[dict[str, Numbers], set[str]]:
    try:
        base = json.loads((directory / BASE).read_bytes())
        return base["sums"], set(base["files"])
    except (FileNotFoundError, ValueError, KeyError):
        # None yet, or a machine that stopped has left half of one: better to begin anew
        # than to tell nothing of those that are alive.
        return {}, set()


def _write_base(directory: Path, sums: dict[str, Numbers], files: list[str]) -> bool:
    """Whether the new base is in its place; a disk can be full."""
    new = directory / f"{secrets.token_hex(6)}{UNFINISHED}"
    try:
        new.touch(0o600)
        new.write_text(json.dumps({"sums": sums, "files": files}))
        os.replace(new, directory / BASE)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        return False
    return True


def _with(sums: dict[str, Numbers], files: Iterable[_File]) -> dict[str, Numbers]:
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


def _read(path: Path) -> _File | None:
    """Read one file; ``None`` if it is gone, or of a layout that is not known."""
    try:
        alive = _is_alive(path)
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
    named: Numbers = {
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
    return _File(path, alive, head, named, tuple(one for one in held if one))


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
        words[CONNECTION],
        who,
        max(0.0, now - since) if since else None,
        rested,
        transaction,
        max(0.0, now - times[OPENED_AT]),
    )


def _processes(files: Iterable[_File]) -> tuple[Process, ...]:
    found: dict[tuple[str, int, float], Process] = {}
    for file in files:
        head = file.head
        # Its host as well: in containers that share the directory two may be alike.
        key = head["host"], head["pid"], head["process"]
        process = found.setdefault(
            key,
            Process(head["pid"], head["host"], head["program"], head["process"], {}),
        )
        alias = head["alias"]
        pool = _pool(file)
        if alias in process.pools:
            # One that was disposed of, and still has connections out.
            pool = _merged(process.pools[alias], pool)
        process.pools[alias] = pool
    return tuple(sorted(found.values(), key=lambda one: (one.started, one.pid)))


def _pool(file: _File) -> ProcessPool:
    numbers, held = file.numbers, file.connections
    in_use = [one for one in held if one.lent is not None]
    by_transaction = file.head["settings"].get("hold") == "transaction"
    oldest = numbers.get("oldest", 0.0)
    stats = to_stats(
        numbers,
        in_use=len(in_use),
        at_work=sum(one.state == "at work" for one in in_use),
        on_call=sum(
            one.state == "ready"
            or (one.state == "at rest" and (by_transaction or _is_outsiders(one)))
            for one in in_use
        ),
        idle=len(held) - len(in_use),
        waiting=int(numbers.get("waiting", 0)),
        oldest_wait=max(0.0, time.monotonic() - oldest) if oldest else 0.0,
        overloaded=bool(numbers.get("overloaded", 0)),
    )
    return ProcessPool(file.head["alias"], stats, held, file.head["settings"])


def _is_outsiders(held: Held) -> bool:
    return held.who.startswith(OUTSIDE)


def _merged(one: ProcessPool, other: ProcessPool) -> ProcessPool:
    return ProcessPool(
        one.alias,
        total((one.stats, other.stats)),
        (*one.connections, *other.connections),
        other.settings,
    )
