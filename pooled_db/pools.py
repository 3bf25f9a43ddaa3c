"""From alias to pool: built on first use, rebuilt after fork, disposed."""

from __future__ import annotations

import dataclasses
import os
import threading
import weakref
from functools import partial
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections

from . import conf, fork, signals, state
from .driver.addresses import addresses
from .driver.connection import Connection
from .driver.connection import connections as open_connections
from .exceptions import Reason
from .fork import in_child, notice_fork
from .pool import cleaners, stall
from .pool.destination import Destination
from .pool.pool import Leading, Pool
from .pool.stats import PoolStats
from .pool.upkeep import upkeep
from .workers import threads_of_this_process

#: One in so many threads is left to refuse others.
REFUSING = 8


class Wrapper(Protocol):
    """What there must be to open connections of one alias: Django's DatabaseWrapper."""

    alias: str
    settings_dict: dict[str, Any]
    pool_timeout: float | None

    def __init__(self, settings_dict: dict[str, Any], alias: str) -> None: ...

    def open_connection(self) -> Connection:
        """Open a connection to where the settings lead now."""


_pools: dict[str, Pool] = {}
_lock = threading.Lock()
#: Also those that are disposed of: what they have lent comes back later.
_made: weakref.WeakSet[Pool] = weakref.WeakSet()
#: Pools of the parent process. They are kept: to take them apart is to use their locks,
#: which another thread may have held at the fork.
_inherited: list[Pool] = []


def for_wrapper(wrapper: Wrapper) -> Pool:
    """Return the pool for *wrapper*'s alias.

    Raises ImproperlyConfigured for wrong settings.
    """
    notice_fork()
    pool = _pools.get(wrapper.alias)
    if pool is None:
        _dispose_forgotten()
        built = _build(wrapper)
        with _lock:
            pool = _pools.setdefault(wrapper.alias, built)
        if pool is not built:
            built.numbers.leave()  # or its limit would be told, too
    return pool


def for_alias(alias: str) -> Pool:
    """Return the pool of *alias*.

    Its loans lead where the settings led when somebody last needed one elsewhere:
    whoever is lent one looks.
    """
    if os.getpid() != fork.process:  # notice_fork() without the call
        notice_fork()
    pool = _pools.get(alias)
    if pool is None:
        pool = for_wrapper(connections[alias])  # type: ignore[arg-type]
    return pool


def leading(wrapper: Wrapper, pool: Pool) -> Leading:
    """Return where *wrapper* wants its connection to lead, and what opens one there."""
    database = wrapper.settings_dict
    if pool.home is not None and pool.home.is_of(database):
        return pool.home, pool.connect
    destination = Destination(database)
    if database is connections.settings.get(wrapper.alias):
        # Not this wrapper's alone: what comes next leads there, too.
        pool.connect = _template(wrapper, database, pool.timeout).open_connection
        pool.home = destination
        return destination, pool.connect
    # A wrapper of its own, so that the connection does not keep the request's.
    template = _template(wrapper, dict(database), pool.timeout)
    return destination, template.open_connection


def is_pooled(alias: str) -> bool:
    """Whether *alias* is in the settings and has a pool, built yet or not."""
    if alias not in connections.settings:
        return False
    try:
        connection = connections[alias]
    except (ImproperlyConfigured, ImportError):
        return False  # as one of another driver, which this machine does without
    return bool(getattr(connection, "is_pooled", False))


def pooled_aliases() -> list[str]:
    """The aliases that have a pool, in the order of the settings."""
    return [alias for alias in connections if is_pooled(alias)]


def _build(wrapper: Wrapper) -> Pool:
    settings = conf.pool_settings(wrapper.alias, wrapper.settings_dict)
    options = dataclasses.asdict(settings)
    limit = settings.pool_size + settings.max_overflow
    home = Destination(wrapper.settings_dict)
    numbers = state.numbers_for(wrapper.alias, limit, options, home.place)
    pool = Pool(
        wrapper.alias,
        _template(wrapper, wrapper.settings_dict, settings.timeout).open_connection,
        autocommit=wrapper.settings_dict["AUTOCOMMIT"],
        home=home,
        numbers=numbers,
        siblings=state.siblings_of(numbers, home.place),
        **options,
        reserved_share=_reserved_share(),
        crowd=_crowd(settings),
    )
    pool.on_opened = partial(_send_opened, wrapper.alias)
    pool.on_closed = partial(_send_closed, wrapper.alias)
    _made.add(pool)
    return pool


def _send_opened(alias: str, connection: Connection) -> None:
    signals.send(
        signals.connection_opened, alias=alias, connection_id=connection.connection_id
    )


def _send_closed(alias: str, connection: Connection, reason: str) -> None:
    signals.send(
        signals.connection_closed,
        alias=alias,
        connection_id=connection.connection_id,
        reason=reason,
    )


def _template(wrapper: Wrapper, database: dict[str, Any], timeout: float) -> Wrapper:
    """Make a wrapper that is never connected itself.

    It reads the name and the credentials from *database* whenever one is opened.
    """
    template = type(wrapper)(database, wrapper.alias)
    template.pool_timeout = timeout
    return template


def _reserved_share() -> float:
    """Which part of the connections is for paths with priority."""
    middleware = conf.middleware_settings()
    return middleware.priority_share if middleware.priority else 0.0


def _crowd(settings: conf.PoolSettings) -> int | None:
    """How many may wait so that threads are left to refuse others, if it is known.

    Otherwise those wait in the application server's backlog, where nobody refuses.
    """
    limit = settings.pool_size + settings.max_overflow
    threads = threads_of_this_process()
    if threads is None or threads <= limit:
        return None
    return max(1, threads - limit - max(1, threads // REFUSING))


def dispose(alias: str) -> None:
    """Close the connections of *alias*: idle ones now, the others on their return.

    The next use builds a new pool.
    """
    with _lock:
        pool = _pools.pop(alias, None)
    if pool is not None:
        pool.dispose()
        if not pool.lent():
            pool.numbers.leave()  # or its limit would be told until it is collected


def dispose_all() -> None:
    """Do the same for every alias: the server that has called this process ends."""
    for alias in list(_pools):
        dispose(alias)


def _dispose_forgotten() -> None:
    """Close the connections of aliases that are in the settings no more.

    Sites with a database for each tenant make aliases at run time, and delete them.
    """
    for alias in [one for one in list(_pools) if one not in connections.settings]:
        dispose(alias)


def stats() -> dict[str, PoolStats]:
    """Return the numbers of each pool that has been used in this process, by alias."""
    _dispose_forgotten()
    return {alias: pool.stats() for alias, pool in _pools.copy().items()}


def count_lost(alias: str) -> None:
    """Count a request that is answered so because its connection was lost."""
    pool = _pools.get(alias)
    if pool is not None:
        pool.numbers.refused(Reason.CONNECTION_LOST)


def _forget_parent() -> None:
    """Start without pools in a forked child, and never speak on the parent's sockets.

    Closing an inherited connection would end the parent's session with it. Its
    descriptor is pointed at /dev/null, where nothing that is said does harm.
    """
    global _lock
    _lock = threading.Lock()
    _pools.clear()
    for pool in list(_made):
        pool.abandon()
        _inherited.append(pool)
    _made.clear()
    null = os.open(os.devnull, os.O_RDWR)
    for connection in list(open_connections):
        connection.abandon(null)
    os.close(null)


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == conf.MIDDLEWARE_SETTINGS:
        conf.middleware_settings.cache_clear()
        if not conf.middleware_problems():
            for pool in list(_pools.values()):
                pool.gate.reserve(_reserved_share())
    if setting in (conf.POOL_DEFAULTS, "DATABASES"):
        for alias in list(_pools):
            dispose(alias)


in_child(_forget_parent)
in_child(stall.after_fork)
in_child(cleaners.after_fork)
in_child(upkeep.after_fork)
in_child(addresses.after_fork)
setting_changed.connect(_settings_changed)
