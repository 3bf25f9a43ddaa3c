"""Where a connection was taken: the line of the site's own code."""

from __future__ import annotations

import sys
import threading
from types import CodeType
from typing import NamedTuple

#: Packages between the site's code and the pool.
_BETWEEN = frozenset({"pooled_db", "django", "asgiref", "contextlib", "functools"})


class Origin(NamedTuple):
    """A place in the code, and the thread that was there."""

    code: CodeType
    line: int
    thread: str


def origin() -> Origin:
    """Where the site's code is that leads here, or else the outermost of all code.

    It keeps no frame, and so none of its variables.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__") or ""
        if module.partition(".")[0] not in _BETWEEN:
            break
        frame = frame.f_back
    return Origin(frame.f_code, frame.f_lineno, threading.current_thread().name)


def describe(origin: Origin | None) -> str:
    """Put *origin* into words, as they go on after "It was taken"."""
    if origin is None:
        return "at the start of a request"
    code = origin.code
    return (
        f"at {code.co_filename}:{origin.line} in {code.co_name}, "
        f"by thread {origin.thread!r}"
    )
