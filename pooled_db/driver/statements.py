"""Which statements may leave something behind in their session."""

from __future__ import annotations

import re
from collections.abc import Callable

#: Statements that change no session, as far as their text shows. Everything else does.
_HARMLESS = re.compile(
    rb"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|VALUES|SHOW|EXPLAIN"
    rb"|DESC|DESCRIBE|SAVEPOINT|RELEASE\s+SAVEPOINT|ROLLBACK\s+TO)\b",
    re.IGNORECASE,
).match

#: String literals, quoted names, and comments that the server does not execute. What a
#: backslash in quotes does depends on sql_mode.
_OPAQUE = (
    rb"'(?:[^'\\]|\\.|'')*'"
    rb'|"(?:[^"\\]|\\.|"")*"'
    rb"|`(?:[^`]|``)*`"
    rb"|/\*(?![!M]).*?\*/"
    rb"|--(?=[\x00-\x20]|$)[^\n]*"
    rb"|#[^\n]*"
)
_ESCAPING = re.compile(_OPAQUE, re.DOTALL)
_NOT_ESCAPING = re.compile(_OPAQUE.replace(rb"\\]|\\.|", rb"]|"), re.DOTALL)
#: What must not be left when the opaque parts are taken out: a user variable, an
#: executable comment, a quote without its end, a second statement, a lock by name.
_SUSPICIOUS = re.compile(
    rb"(?<!@)@(?!@)|/\*|['\"`]|;\s*[^\s;]|_LOCKS?\s*\(", re.IGNORECASE
).search

_RESOURCE_GROUP = re.compile(rb"\bRESOURCE\s+GROUP\b", re.IGNORECASE).search


def may_change_session(
    statement: bytes, backslash_escapes: Callable[[], bool] = lambda: True
) -> bool:
    """Whether the session may differ after *statement*, which is one text query.

    Called for every statement, so the usual one takes the way without parsing: it has
    none of the characters that variables, comments and further statements need. What a
    stored function or a trigger does shows in no statement.

    *backslash_escapes* tells whether sql_mode lets it: it is asked only if need be.
    """
    if (
        b"@" not in statement
        and b";" not in statement
        and b"/*" not in statement
        and b"#" not in statement
        and b"--" not in statement
        and b"_LOCK" not in statement.upper()
    ):
        return _HARMLESS(statement) is None
    opaque = _ESCAPING if backslash_escapes() else _NOT_ESCAPING
    bare = opaque.sub(b" ", statement)
    return _HARMLESS(bare) is None or _SUSPICIOUS(bare) is not None


def outlasts_reset(statement: bytes) -> bool:
    """Whether *statement* changes what a session keeps when it is made as new.

    MySQL forgets a session's resource group only with the connection.
    """
    return b"RESOURCE" in statement.upper() and _RESOURCE_GROUP(statement) is not None
