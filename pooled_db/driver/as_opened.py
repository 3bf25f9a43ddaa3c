"""What users change of the driver's object itself, to be put back for the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

import MySQLdb

if TYPE_CHECKING:
    from .connection import Connection

#: The driver's tables: of values on their way to the server, and on their way back.
DECODERS = "decoders" if MySQLdb.__name__ == "pymysql" else "converter"
TABLES = ("encoders", DECODERS)


class Conversions(dict[Any, Any]):
    """One of these tables, which tells its connection when it is changed."""

    def __init__(self, table: dict[Any, Any], connection: ref[Connection]) -> None:
        super().__init__(table)
        self.connection = connection


def _telling(change: Callable[..., Any]) -> Callable[..., Any]:
    def tell(self: Conversions, *args: Any, **kwargs: Any) -> Any:
        connection = self.connection()
        if connection is not None:
            connection.converts_otherwise = True
        return change(self, *args, **kwargs)

    return tell


for _name in (
    *("__setitem__", "__delitem__", "__ior__", "clear"),
    *("pop", "popitem", "setdefault", "update"),
):
    setattr(Conversions, _name, _telling(getattr(dict, _name)))


class AsOpened:
    """How a connection was when it was opened, as far as users set its attributes."""

    def note(self, connection: Connection) -> None:
        """Let all users find *connection* as it is now."""
        self.cursorclass: Any = connection.cursorclass
        self._tables = [dict(getattr(connection, name)) for name in TABLES]
        self._names = set(vars(connection))
        self.put_tables_back(connection)

    def put_tables_back(self, connection: Connection) -> None:
        """Let values be converted as at first."""
        for name, table in zip(TABLES, self._tables, strict=True):
            setattr(connection, name, Conversions(table, ref(connection)))
        self.encoders: Any = connection.encoders
        self.decoders: Any = getattr(connection, DECODERS)
        connection.converts_otherwise = False

    def remove_marks(self, connection: Connection) -> None:
        """Forget what users have noted on *connection*: its session is another now."""
        for name in vars(connection).keys() - self._names:
            if not hasattr(type(connection), name):
                del vars(connection)[name]  # mysqlclient forbids delattr()
