"""Who starts anew in a forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

#: Whose pools, locks and threads these are.
process = os.getpid()
_lock = threading.Lock()
_in_child: list[Callable[[], None]] = []


def in_child(start_anew: Callable[[], None]) -> None:
    """Have *start_anew* called in each forked child, before anything else happens.

    Locks that another thread of the parent may have held at the fork are replaced
    there, and what belongs to the parent is left to it.
    """
    _in_child.append(start_anew)


def in_new_child() -> bool:
    """Whether this process was forked and nobody has started anew in it yet.

    Finalizers of the parent's things can run before that: if a thread forks, what the
    others had in their own storage ends before anything is called in the child.
    """
    return os.getpid() != process


def notice_fork() -> None:
    """Start anew if this process was forked behind Python's back.

    uWSGI forks its workers so, unless `py-call-uwsgi-fork-hooks` is set.
    """
    if os.getpid() != process:
        with _lock:
            if os.getpid() != process:
                _start_anew()


def _start_anew() -> None:
    global process
    for start_anew in _in_child:
        start_anew()
    process = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
