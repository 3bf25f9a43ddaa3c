"""Whether a statement asks what an earlier one has left in its connection."""

from __future__ import annotations

import re

_ASKS_OF_INSERT = re.compile(
    rb"\bLAST_INSERT_ID\s*\(\s*\)|\bLASTVAL\s*\(|\bPREVIOUS\s+VALUE\s+FOR\b"
    rb"|@@(?:SESSION\s*\.\s*|LOCAL\s*\.\s*)?(?:LAST_INSERT_ID|IDENTITY)\b",
    re.IGNORECASE,
).search
_ASKS_OF_STATEMENT = re.compile(
    rb"\b(?:FOUND_ROWS|ROW_COUNT)\s*\(\s*\)"
    rb"|\bSHOW\s+(?:COUNT\s*\(\s*\*\s*\)\s+)?(?:WARNINGS|ERRORS)\b"
    rb"|\bGET\s+(?:CURRENT\s+|STACKED\s+)?DIAGNOSTICS\b"
    rb"|@@(?:SESSION\s*\.\s*|LOCAL\s*\.\s*)?(?:WARNING_COUNT|ERROR_COUNT)\b",
    re.IGNORECASE,
).search


class LastStatement:
    """What of a connection's last statements is its present user's.

    It begins when somebody else may have made the last one. Then the answer to
    ``LAST_INSERT_ID()`` or ``FOUND_ROWS()`` would tell of a stranger's.
    """

    __slots__ = ("_inserted", "_spoke")

    def __init__(self) -> None:
        self._spoke = False
        self._inserted = False

    def asks_for_lost(self, statement: bytes | bytearray, insert_id: int) -> str | None:
        """Return the words by which *statement* asks for what is another's.

        *insert_id* is the identifier that the statement before it has made, or 0. To
        be called for each statement.
        """
        self._inserted |= self._spoke and insert_id != 0
        asks = None if self._inserted else _ASKS_OF_INSERT(statement)
        if asks is None and not self._spoke:
            asks = _ASKS_OF_STATEMENT(statement)
        if asks is not None:
            return asks[0].decode()
        self._spoke = True
        return None
