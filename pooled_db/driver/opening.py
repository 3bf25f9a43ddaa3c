"""How whatever opens a connection is made to open one of the pool's class."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import MySQLdb

from .connection import Connection

#: What MySQLdb.connect() makes. PyMySQL would be imported twice by the full name.
_DRIVERS: type[Any] = MySQLdb.connections.Connection
_original_new: Callable[..., Any] = _DRIVERS.__new__


class _Opening(threading.local):
    made: list[Connection] | None = None


_here = _Opening()


def _new(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
    """Make the pool's class of what the driver's is asked for, while one is opened.

    Python calls ``__init__`` of what comes out, with the arguments. Other threads get
    what they ask for.
    """
    made = _here.made
    if made is not None and cls is _DRIVERS:
        cls = Connection
    connection = _original_new(cls)
    if made is not None and cls is Connection:
        made.append(connection)
    return connection


_DRIVERS.__new__ = staticmethod(_new)  # type: ignore[assignment]


def opened_by(connect: Callable[[], Any]) -> Connection | None:
    """Return the connection that *connect* opens by way of ``MySQLdb.connect``.

    Tracers replace that by a function whose connections have cursors that are watched,
    and backends add tunnels, tokens and retries. What they return, if it is wrapped, is
    kept as the connection's :attr:`~Connection.proxy`. ``None`` if it leads to no
    connection that the driver made here.
    """
    outer, _here.made = _here.made, []
    made = _here.made
    try:
        given = connect()
    except BaseException:
        for connection in _opened(made):
            connection.close()
        raise
    finally:
        _here.made = outer
    inner = _within(given, made)
    if inner is not None and inner is not given:
        inner.proxy = given
    return inner


def _opened(made: list[Connection]) -> list[Connection]:
    return [one for one in made if one.open]


def _within(given: Any, made: list[Connection]) -> Connection | None:
    inner = given
    # Proxies say that they are what they wrap, so isinstance() would not tell.
    while type(inner) is not Connection:
        inner = getattr(inner, "__wrapped__", None)
        if inner is None:
            return _named_by(given, made)
    return inner


def _named_by(given: Any, made: list[Connection]) -> Connection | None:
    """Return which of *made* is behind a proxy of another kind."""
    thread_id = getattr(given, "thread_id", None)
    if thread_id is not None:
        for connection in _opened(made):
            if connection.thread_id() == thread_id():
                return connection
    return None
