"""Cursors during whose statements nobody else of the request has the connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any


def _in_turn(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Bracket the method *name*: it speaks with the driver before and after.

    Parameters are escaped by the connection before the statement is sent, and the
    number of rows and the identifier of what was inserted are asked of it afterwards.
    """

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = self.connection
        use = None if connection is None else connection.begin_use()
        try:
            return original(self, *args, **kwargs)
        finally:
            if use is not None:
                use.unpin(threading.get_ident())

    method.__name__ = name
    method.__doc__ = original.__doc__
    return method


@cache
def taking_turns(cursorclass: type[Any]) -> type[Any]:
    """Derive from *cursorclass* one whose statements await their turn."""
    methods = {
        name: _in_turn(name, getattr(cursorclass, name))
        for name in ("callproc", "execute", "executemany")
        if hasattr(cursorclass, name)
    }
    return type(cursorclass.__name__, (cursorclass,), methods)
