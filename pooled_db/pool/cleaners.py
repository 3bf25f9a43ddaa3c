"""Threads that make sessions as new for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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


def is_on_event_loop() -> bool:
    """Whether an event loop runs this code, and must not wait for a server."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def off_the_loop(action: Callable[[], object]) -> None:
    """Do *action* in one of them, or here if the process ends and starts none."""
    try:
        cleaners().submit(action)
    except RuntimeError:
        action()


def after_fork() -> None:
    """Start without any, in a forked child."""
    global _executor
    _executor = None
