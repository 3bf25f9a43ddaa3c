"""Children of this process, forked by Python or behind its back."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

from django.db import connection


def fork_behind_pythons_back() -> int:
    """Fork as uWSGI does: without what os.register_at_fork has registered.

    No other thread may be there: if one waits for the interpreter's lock just then,
    that lock is of no more use in the child.
    """
    pid: int = ctypes.PyDLL(None).fork()
    return pid


def in_child(work: Callable[[], Any], fork: Callable[[], int] = os.fork) -> int:
    """Run *work* in a forked child that ends as an interpreter does; its status."""
    pid = fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work() is not False else 2
        finally:
            connection.close()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
