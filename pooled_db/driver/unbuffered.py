"""Rows that are read from the server while they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .guarded import GuardedConnection
    from .use import Use


class Unbuffered:
    """The driver's *result* of a statement that was made on *connection* for *loan*."""

    def __init__(self, result: Any, connection: GuardedConnection, loan: Use) -> None:
        self._result = result
        self._connection = connection
        self._loan = loan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    def fetch_row(self, *args: Any) -> Any:
        return self._connection.read_on(self._loan, self._result.fetch_row, *args)

    def discard(self) -> None:
        # Of a loan that is over nobody reads the rest: its connection is closed.
        if self._connection.is_out_for(self._loan):
            self._connection.read_on(self._loan, self._result.discard)
