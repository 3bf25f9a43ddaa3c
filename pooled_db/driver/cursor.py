"""Cursors during whose statements nobody else of the request has the connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from threading import get_ident
from typing import Any
from weakref import ref

import MySQLdb

from .errors import out_of_step
from .use import NO_THREAD, given_back

#: What the driver says of a connection that this process has closed.
CLOSED = (2006, "")


def _in_turn(original: Callable[..., Any]) -> Callable[..., Any]:
    """Bracket the method *original*: it speaks with the driver before and after.

    Parameters are escaped by the connection before the statement is sent, and the
    number of rows and the identifier of what was inserted are asked of it afterwards.
    """

    @wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = self.connection
        if connection is None:
            return original(self, *args, **kwargs)
        thread = get_ident()
        loan = connection.loan
        is_pinned = thread in loan.pins
        try:
            if not is_pinned:
                # begin_use() without the call, where it is this thread's turn.
                loan.pins.add(thread)
                if loan.user != thread:
                    loan.unpin(thread)
                    loan = connection.begin_use()
            return original(self, *args, **kwargs)
        except MySQLdb.OperationalError as error:
            if loan.user == NO_THREAD and error.args == CLOSED:
                # It ended with its request, before the number of rows was asked for.
                # What is left of the result would be read as the cursor is closed.
                self._result = None
                raise given_back() from error
            raise
        finally:
            if not is_pinned:
                loan.pins.discard(thread)
                if loan.line:
                    loan.unpin(thread)

    return method


def _not_out_of_step(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let *original* not say that there are no more results when nobody knows."""

    @wraps(original)
    def nextset(self: Any) -> Any:
        connection = self.connection
        if connection is not None and connection.is_out_of_step:
            raise out_of_step()
        return original(self)

    return nextset


@cache
def taking_turns(cursorclass: type[Any]) -> type[Any]:
    """Derive from *cursorclass* one whose statements await their turn."""
    methods = {
        name: _in_turn(getattr(cursorclass, name))
        for name in ("callproc", "execute", "executemany")
        if hasattr(cursorclass, name)
    }
    if hasattr(cursorclass, "nextset"):
        methods["nextset"] = _not_out_of_step(cursorclass.nextset)
    return type(cursorclass.__name__, (cursorclass,), methods)


def is_open(cursor: ref[Any]) -> bool:
    """Whether *cursor* is there, and has not been closed."""
    opened = cursor()
    return opened is not None and opened.connection is not None
