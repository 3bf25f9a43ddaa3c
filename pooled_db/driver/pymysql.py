"""PyMySQL's connection, as mysqlclient's would answer."""

from __future__ import annotations

from typing import Any

import pymysql
from pymysql import connections
from pymysql.constants import COMMAND

#: What mysqlclient's next_result() returns.
NO_MORE, MORE = -1, 0
CLOSED = -1


class Connection(connections.Connection):
    """Adds what mysqlclient's connection has besides."""

    def fileno(self) -> int:
        socket = self._sock  # type: ignore[attr-defined]
        return CLOSED if socket is None else int(socket.fileno())

    def query(self, query: bytes | str, unbuffered: bool = False) -> int:
        affected: int = super().query(query, unbuffered)
        # Here the rows have been read already, unless they are not to be.
        if unbuffered:
            self.use_result()
        else:
            self.store_result()
        return affected

    def begin(self) -> None:
        self.query("BEGIN")

    def store_result(self) -> None: ...

    def use_result(self) -> None: ...

    def discard_result(self) -> None: ...

    def send_query(self, query: bytes) -> None:
        self._execute_command(COMMAND.COM_QUERY, query)  # type: ignore[attr-defined]

    def read_query_result(self) -> None:
        self._read_query_result()  # type: ignore[attr-defined]

    def next_result(self, unbuffered: bool = False) -> int:
        result = self._result  # type: ignore[attr-defined]
        if result is not None and result.unbuffered_active:
            return MORE
        if result is None or not result.has_next:
            return NO_MORE
        super().next_result(unbuffered)
        return MORE

    def close(self) -> None:
        result = self._result  # type: ignore[attr-defined]
        if result is not None:
            # The result's finalizer would go on reading from the closed socket.
            result.unbuffered_active = False
        super().close()

    def string_literal(self, text: bytes) -> bytes:
        return self.escape(text.decode()).encode()

    def change_user(self, *args: Any, **kwargs: Any) -> None:
        # A changed session is closed then, instead of made as new.
        raise pymysql.NotSupportedError("PyMySQL cannot change the user")
