"""From alias to pool: built on first use, rebuilt after fork, disposed."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from django.core.signals import setting_changed
from django.db import connections

from . import conf
from .driver.connection import Connection
from .driver.connection import connections as open_connections
from .fork import in_child, notice_fork
from .pool import stall
from .pool.pool import Pool
from .pool.stats import PoolStats


class Wrapper(Protocol):
    """What there must be to open connections of one alias: Django's DatabaseWrapper."""

    alias: str
    settings_dict: dict[str, Any]

    def __init__(self, settings_dict: dict[str, Any], alias: str) -> None: ...

    def open_connection(self) -> Connection:
        """Open a connection to where the settings lead now."""


#: What two connections must share to be in one pool: where they lead.
Target = tuple[str, str, str, str]

_pools: dict[str, tuple[Target, Pool]] = {}
_lock = threading.Lock()
#: Pools of the parent process. They are kept: to take them apart is to use their locks,
#: which another thread may have held at the fork.
_inherited: list[Pool] = []


def _target(database: Mapping[str, Any]) -> Target:
    return database["HOST"], str(database["PORT"]), database["NAME"], database["USER"]


def for_wrapper(wrapper: Wrapper) -> Pool:
    """Return the pool for *wrapper*'s alias and the database it points to now.

    A test database takes the place of the real one under the same alias: the old pool
    then makes room for a new one. Raises ImproperlyConfigured for wrong settings.
    """
    notice_fork()
    target = _target(wrapper.settings_dict)
    entry = _pools.get(wrapper.alias)
    if entry is not None and entry[0] == target:
        return entry[1]
    pool = _build(wrapper)
    with _lock:
        entry = _pools.get(wrapper.alias)
        if entry is not None and entry[0] == target:
            return entry[1]
        _pools[wrapper.alias] = target, pool
    if entry is not None:
        entry[1].dispose()
    return pool


def for_alias(alias: str) -> Pool:
    """Return the pool of *alias*; otherwise as `for_wrapper`, but cheaper."""
    notice_fork()
    entry = _pools.get(alias)
    if entry is not None and entry[0] == _target(connections.settings[alias]):
        return entry[1]
    return for_wrapper(connections[alias])  # type: ignore[arg-type]


def is_pooled(alias: str) -> bool:
    """Whether *alias* has a pool, built yet or not."""
    return getattr(connections[alias], "is_pooled", False)


def _build(wrapper: Wrapper) -> Pool:
    settings = conf.pool_settings(wrapper.alias, wrapper.settings_dict)
    # A wrapper that is never connected itself: it reads the name and the credentials
    # from the settings each time a connection is opened.
    template = type(wrapper)(wrapper.settings_dict, wrapper.alias)
    return Pool(
        wrapper.alias,
        template.open_connection,
        autocommit=wrapper.settings_dict["AUTOCOMMIT"],
        database=connections.settings.get(wrapper.alias),
        **dataclasses.asdict(settings),
    )


def dispose(alias: str) -> None:
    """Close the connections of *alias*: idle ones now, the others on their return.

    The next use builds a new pool.
    """
    with _lock:
        entry = _pools.pop(alias, None)
    if entry is not None:
        entry[1].dispose()


def stats() -> dict[str, PoolStats]:
    """Return the numbers of each pool that has been used in this process, by alias."""
    return {alias: pool.stats() for alias, (_, pool) in list(_pools.items())}


def _forget_parent() -> None:
    """Start without pools in a forked child, and never speak on the parent's sockets.

    Closing an inherited connection would end the parent's session with it. Its
    descriptor is pointed at /dev/null, where nothing that is said does harm.
    """
    global _lock
    _lock = threading.Lock()
    for _, pool in _pools.values():
        pool.abandon()
        _inherited.append(pool)
    _pools.clear()
    null = os.open(os.devnull, os.O_RDWR)
    for connection in list(open_connections):
        connection.abandon(null)
    os.close(null)


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == conf.MIDDLEWARE_SETTINGS:
        conf.middleware_settings.cache_clear()
    if setting in (conf.POOL_DEFAULTS, "DATABASES"):
        for alias in list(_pools):
            dispose(alias)


in_child(_forget_parent)
in_child(stall.after_fork)
setting_changed.connect(_settings_changed)
