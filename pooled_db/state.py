"""Where the processes of this site keep their state, and what it says."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from . import conf
from .fork import in_child
from .pool import host, state_file
from .pool.ended import fold
from .pool.numbers import Numbers
from .pool.share import Siblings, no_siblings
from .pool.siblings import SiblingPools

logger: logging.Logger = logging.getLogger("pooled_db")

#: Memory, which no service's private /tmp hides and no disk slows down.
SHARED_MEMORY = Path("/dev/shm")

#: Slots beyond the limit: for connections that are being closed while others open.
SPARE = 4
#: And the most there are: a limit that is to be none would cost hundreds of megabytes.
MOST_SLOTS = 10_000

_warned = False


def directory() -> Path | None:
    """Return the directory of this site's state files; ``None`` if there are none.

    Raises ImproperlyConfigured if the settings are wrong.
    """
    wanted = conf.middleware_settings().state_dir
    if wanted is None:
        return None
    if wanted:
        return Path(wanted)
    return default_directory()


def default_directory() -> Path:
    """Return a directory for this user and these settings."""
    usable = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK)
    parent = SHARED_MEMORY if usable else Path(tempfile.gettempdir())
    name = str(getattr(settings, "SETTINGS_MODULE", "configured"))
    file = getattr(sys.modules.get(name), "__file__", None) or os.getcwd()
    site = hashlib.sha256(f"{name}\0{os.path.realpath(file)}".encode()).hexdigest()
    return parent / f"pooled_db-{os.geteuid()}" / site[:16]


def numbers_for(
    alias: str, limit: int, options: Mapping[str, Any], place: str = ""
) -> Numbers:
    """Make the numbers of the pool of *alias*, where other processes can read them.

    *place* tells the pools that share a server's connections from all others.

    If that cannot be, it is logged once, and only this process can.
    """
    path = directory()
    if path is None:
        return Numbers()
    # Where nobody looks, each process removes what those before it have left.
    with contextlib.suppress(OSError):
        fold(path)
    try:
        if path == default_directory():
            state_file.private(path.parent)
        return state_file.create(
            path,
            min(limit + SPARE, MOST_SLOTS),
            {"alias": alias, "settings": dict(options), "place": place},
        )
    except OSError as error:
        _warn_once(error)
        return Numbers()


def siblings_of(numbers: Numbers, place: str) -> Siblings:
    """Return what tells of the other pools of this host that share a server."""
    path = directory()
    if path is None or numbers.file is None:
        return no_siblings
    return SiblingPools(path, place, numbers.file)


def _warn_once(error: OSError) -> None:
    global _warned
    if not _warned:
        _warned = True
        logger.warning(
            "The state of the pools cannot be seen from other processes: %s. Set "
            'POOLED_DB["STATE_DIR"] to a directory that this process may write to, or '
            "to None.",
            error,
        )


def look() -> host.Host:
    """Look at the pools of all processes of this site on this host.

    None are seen where ``STATE_DIR`` is ``None``. Raises OSError if the directory
    cannot be read.
    """
    path = directory()
    return host.Host() if path is None else host.look(path)


def _warn_again() -> None:
    global _warned
    _warned = False


in_child(_warn_again)
