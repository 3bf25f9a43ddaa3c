"""The numbers of one pool in a mapped file, which other processes can read.

It needs no thread and no socket, and can be read while its process hangs: what it says
is there at the time. The process holds the file's ``flock`` for as long as it lives.
Layout: the length of the head, the head (JSON, which names the words), the numbers,
and the slots.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import mmap
import os
import secrets
import socket
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

from ..driver.slot import SIZE as SLOT_SIZE
from .numbers import SIZE, TIMES, WORDS, Numbers

#: The end of the files' names, and of their names until they are locked.
SUFFIX: Final = ".pool"
UNFINISHED: Final = ".new"
#: The version of the layout of what is not named in the head.
LAYOUT: Final = 1
#: Bytes to which the parts of a file are aligned, so that a word is written whole.
_ALIGNED = 64
_LENGTH = 8

#: When the first file of a process was made, on the wall clock, by process.
_started: dict[int, float] = {}


def create(
    directory: Path, slots: int, about: Mapping[str, Any] | None = None
) -> Numbers:
    """Make a file in *directory* for the numbers of a pool, with so many *slots*.

    *about* is what readers are to know of the pool besides. The file counts as that of
    a process that has ended as soon as nobody has the numbers. Raises OSError.
    """
    private(directory)
    head = _head(slots, about or {})
    size = len(head) + 8 * (SIZE + SLOT_SIZE * slots)
    name = f"{os.getpid()}-{secrets.token_hex(6)}"
    unfinished = directory / (name + UNFINISHED)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Written whole: on a full disk, to touch a page that is not there would be the
        # end of the process.
        if os.pwrite(descriptor, head.ljust(size, b"\0"), 0) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # It keeps a descriptor of its own, and so the lock.
        memory = memoryview(mmap.mmap(descriptor, size))
        os.rename(unfinished, directory / (name + SUFFIX))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    finally:
        os.close(descriptor)
    return Numbers(memory[len(head) :], slots, name + SUFFIX)


def private(directory: Path) -> None:
    """Make *directory*, or make sure that nobody else gets at it. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(directory):
        raise PermissionError(
            f"{directory} must belong to the user of this process, and be accessible "
            "to nobody else (chmod 700)"
        )


def is_private(directory: Path) -> bool:
    """Whether nobody but the user of this process gets at *directory*."""
    status = directory.stat()
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _head(slots: int, about: Mapping[str, Any]) -> bytes:
    head = {
        "layout": LAYOUT,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "program": _program(),
        "process": _started.setdefault(os.getpid(), time.time()),
        "slots": slots,
        "slot_size": SLOT_SIZE,
        "words": WORDS,
        "times": TIMES,
        **about,
    }
    text = json.dumps(head).encode()
    padding = -(_LENGTH + len(text)) % _ALIGNED
    return len(text).to_bytes(_LENGTH, "little") + text + b" " * padding


def head_of(content: bytes) -> tuple[dict[str, Any], int]:
    """Read the head of a file with *content*, and where it ends."""
    length = int.from_bytes(content[:_LENGTH], "little")
    head: dict[str, Any] = json.loads(content[_LENGTH : _LENGTH + length])
    return head, -(-(_LENGTH + length) // _ALIGNED) * _ALIGNED


def _program() -> str:
    """What this process is, without arguments, which may hold secrets."""
    name = PurePath(sys.argv[0]).name if sys.argv else ""
    if name == "__main__.py":
        name = PurePath(sys.argv[0]).parent.name
    if name in ("manage.py", "django", "django-admin") and len(sys.argv) > 1:
        name += f" {sys.argv[1]}"
    return name or "python"
