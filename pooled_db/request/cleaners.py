"""Threads that make sessions as new for event loops."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..fork import in_child

#: How many sessions are made as new at once, of all event loops of the process: each
#: takes a few round trips, and those beyond that wait.
MOST = 32

_executor: ThreadPoolExecutor | None = None


def cleaners() -> ThreadPoolExecutor:
    """Return them; they are started when they are first needed."""
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(MOST, "pooled_db-reset")
    return _executor


def _forget_cleaners() -> None:
    global _executor
    _executor = None


in_child(_forget_cleaners)
