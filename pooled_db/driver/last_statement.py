"""Whether a statement asks what an earlier one has left in its connection."""

from __future__ import annotations

import re
from collections.abc import Callable

from .statements import Statement, code_of

#: One of these words is in each of the questions. Most of the time they are a value's.
_may_ask = re.compile(
    rb"LAST_INSERT_ID|LASTVAL|PREVIOUS|IDENTITY|FOUND_ROWS|ROW_COUNT|WARNING|ERROR"
    rb"|DIAGNOSTICS",
    re.IGNORECASE,
).search
_executes_text = re.compile(rb"\b(?:PREPARE|EXECUTE)\b", re.IGNORECASE).search
_ASKS_OF_INSERT = re.compile(
    rb"\bLAST_INSERT_ID\s*\(\s*\)|\bLASTVAL\s*\(|\bPREVIOUS\s+VALUE\s+FOR\b"
    rb"|@@\s*(?:SESSION\s*\.\s*|LOCAL\s*\.\s*)?(?:LAST_INSERT_ID|IDENTITY)\b",
    re.IGNORECASE,
).search
_ASKS_OF_STATEMENT = re.compile(
    rb"\b(?:FOUND_ROWS|ROW_COUNT)\s*\(\s*\)"
    rb"|\bSHOW\s+(?:COUNT\s*\(\s*\*\s*\)\s+)?(?:WARNINGS|ERRORS)\b"
    rb"|\bGET\s+(?:CURRENT\s+|STACKED\s+)?DIAGNOSTICS\b"
    rb"|@@\s*(?:SESSION\s*\.\s*|LOCAL\s*\.\s*)?(?:WARNING_COUNT|ERROR_COUNT)\b",
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

    def asks_for_lost(
        self,
        statement: Statement,
        insert_id: int,
        backslash_escapes: Callable[[], bool] = lambda: True,
    ) -> str | None:
        """Return the words by which *statement* asks for what is another's.

        *insert_id* is the identifier that the statement before it has made, or 0.
        *backslash_escapes* tells whether sql_mode lets a backslash escape. To be called
        for each statement.
        """
        self._inserted |= self._spoke and insert_id != 0
        asks = None
        if _may_ask(statement):
            code = code_of(statement, backslash_escapes())
            if _executes_text(code):
                code = bytes(statement)
            if not self._inserted:
                asks = _ASKS_OF_INSERT(code)
            if asks is None and not self._spoke:
                asks = _ASKS_OF_STATEMENT(code)
        if asks is not None:
            return asks[0].decode()
        self._spoke = True
        return None
