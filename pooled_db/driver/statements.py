"""Which statements may leave something behind in their session."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_SETTING = rb"\w{1,64} \s* = \s* (?: [\w.+-]{1,64} | '[^'\\]{0,500}' )"
#: Statements that change no session, as far as their text shows. Everything else does.
#: MariaDB takes the variables in front of FOR back when the statement has ended, and
#: refuses those that it could not.
#: https://mariadb.com/docs/server/reference/sql-statements/administrative-sql-statements/set-commands/set-statement
_begins_harmlessly = re.compile(
    rb"""[\s(]*
    (?: SET \s+ STATEMENT \s+ %b (?: \s* , \s* %b ){0,50} \s+ FOR \b [\s(]* )?
    (?: SELECT | INSERT | UPDATE | DELETE | REPLACE | WITH | VALUES | SHOW | EXPLAIN
      | ANALYZE | DESC | DESCRIBE | DO | SAVEPOINT | RELEASE \s+ SAVEPOINT
      | ROLLBACK \s+ TO ) \b
    """
    % (_SETTING, _SETTING),
    re.IGNORECASE | re.VERBOSE,
).match

#: The functions that take locks which no transaction ends.
#: https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html
#: https://dev.mysql.com/doc/refman/8.4/en/locking-service.html
#: https://dev.mysql.com/doc/refman/8.4/en/version-tokens-reference.html
_LOCK_FUNCTION = (
    rb"(?i:GET_LOCK|RELEASE_LOCK|RELEASE_ALL_LOCKS|SERVICE_GET_READ_LOCKS"
    rb"|SERVICE_GET_WRITE_LOCKS|SERVICE_RELEASE_LOCKS|VERSION_TOKENS_LOCK_SHARED"
    rb"|VERSION_TOKENS_LOCK_EXCLUSIVE)"
)
_is_lock_function = re.compile(_LOCK_FUNCTION).fullmatch
_starts_lock_function = re.compile(_LOCK_FUNCTION + rb"(?![\w$])").match
#: What they all have in their names. It is found in place, at 1 ns a byte.
_mentions_lock = re.compile(rb"_(?i:LOCK)").search
#: What one of them has in front of that at most, and a character before.
_IN_FRONT = len("SERVICE_GET_WRITE") + 1
_word_at_end = re.compile(rb"[\w$]*\Z").search

#: Character sets in which a quote or a backslash is always one, and never the second
#: byte of a character, as it may be in gbk, gb18030, big5, sjis and cp932.
_is_unambiguous = re.compile(
    r"utf8(?:mb[34])?|ascii|binary|latin[1257]|cp125[0167]|cp8(?:50|52|66)|koi8[ru]"
    r"|greek|hebrew|armscii8|geostd8|dec8|hp8|keybcs2|macce|macroman|tis620"
).fullmatch

Statement = bytes | bytearray
#: It is not certain where something ends, or it may change the session.
_UNSURE = -1


def may_change_session(
    statement: Statement,
    backslash_escapes: Callable[[], bool] = lambda: True,
    character_set: Callable[[], str] = lambda: "utf8mb4",
) -> bool:
    """Whether the session may differ after *statement*, which is one text query.

    Called for every statement, so the usual one takes the way without parsing: it has
    none of the characters that variables, comments and further statements need. What a
    stored function or a trigger does shows in no statement.

    *backslash_escapes* tells whether sql_mode lets a backslash escape, *character_set*
    the name of what the server takes the bytes for. They are called only if need be.
    """
    if (
        b"@" not in statement
        and b";" not in statement
        and b"/*" not in statement
        and b"#" not in statement
        and b"--" not in statement
        and _mentions_lock(statement) is None
    ):
        return _begins_harmlessly(statement) is None
    if not _is_unambiguous(character_set()):
        return True
    return not _is_harmless(statement, backslash_escapes())


#: Characters, literals, names and operators that hide nothing; so many at a time that
#: neither the memory for the match nor the pause for other threads becomes large. A
#: group in a lookahead, and \1 for it, is a possessive repeat, which Python has since
#: 3.11: it is never tried with less, so the work stays proportional to the length.
_PLAIN = rb"""(?x:
    [^'"`;#$@/_\x00-]{1,4000}
  | ' %(most)b ' (?! ' )
  | (?= ( ' %(most)b (?: %(more)b %(most)b ){0,30} ) ) \1 ' (?! ' )
  | ` (?! %(lock)b ` ) [^`]{0,500} `
  | " (?! %(lock)b " ) [^"\\]{0,500} "
  | _(?! (?i:LOCK) )
  | -(?! - )
  | /(?! \* )
){0,200}"""
_plain_if_escaping, _plain_if_not = (
    re.compile(
        _PLAIN % {b"most": most, b"more": more, b"lock": _LOCK_FUNCTION},
        re.DOTALL,
    ).match
    for most, more in (
        (rb"[^'\\]{0,500}", rb"(?: \\. | '' )"),
        (rb"[^']{0,500}", rb"''"),
    )
)


def _is_harmless(statement: Statement, escapes: bool) -> bool:
    """Whether *statement* changes nothing; ``False`` if that is not sure.

    It is read in place, and each byte a few times at most: it can be as large as an
    upload, and all threads of the process wait meanwhile.
    """
    position = _after_blanks(statement, 0, _blank)
    if _begins_harmlessly(statement, position) is None:
        return False
    plain = _plain_if_escaping if escapes else _plain_if_not
    while position != _UNSURE:
        position = plain(statement, position).end()  # type: ignore[union-attr]
        if position == len(statement):
            return True
        after = _AFTER.get(statement[position])
        if after is not None:
            position = after(statement, position, escapes)
    return False


def _after_blanks(statement: Statement, position: int, blank: Blank) -> int:
    """Return where what is neither *blank* nor a comment begins at *position*."""
    while True:
        position = blank(statement, position).end()  # type: ignore[union-attr]
        if _opens_comment(statement, position) is None:
            return position
        end = _AFTER[statement[position]](statement, position, True)
        if end == _UNSURE:
            return position
        position = end


# Each of these returns where what begins at *position* ends, or _UNSURE.


def _after_string(statement: Statement, position: int, escapes: bool) -> int:
    position += 1
    end = statement.find(b"'", position)
    if not (statement.startswith(b"''", end) or statement.count(b"\\", position, end)):
        return end + 1 or _UNSURE
    # Two quotes are one, and a backslash escapes another or a quote. To see that at
    # once takes a copy, of a part that grows with the string but not beyond what costs
    # nothing.
    size = _FIRST_PART
    while end != -1:
        part = statement[position : position + size]
        if escapes:
            part = part.replace(b"\\\\", b"--").replace(b"\\'", b"--")
        quote = part.replace(b"''", b"--").find(b"'")
        if quote == -1:
            position += len(part) - part.endswith(b"\\")
            size = min(2 * size, _LARGEST_PART)
        else:
            # If it is one of two whose other is in the next part, so is the rest of
            # the string, which ends where it does as a string of its own.
            return position + quote + 1
        if position > end:
            end = statement.find(b"'", position)
    return _UNSURE


_FIRST_PART = 1 << 9
_LARGEST_PART = 1 << 14


def _after_name(statement: Statement, position: int, escapes: bool) -> int:
    """A name in backticks, or a name or a string in double quotes.

    Which of the two depends on ANSI_QUOTES in sql_mode, which the driver does not know.
    A backslash escapes in strings only.
    """
    quote = statement[position : position + 1]
    position += 1
    end = statement.find(quote, position)
    if (
        end == -1
        or (
            _is_lock_function(statement, position, end)
            and _may_be_called(statement, end + 1)
        )
        or (quote == b'"' and escapes and statement.find(b"\\", position, end) != -1)
    ):
        return _UNSURE
    return end + 1


def _after_variable(statement: Statement, position: int, escapes: bool) -> int:
    # One is a user variable, two are the system's.
    end = _ats(statement, position).end()  # type: ignore[union-attr]
    return end if end - position == 2 else _UNSURE


_ats = re.compile(b"@+").match


def _after_lock(statement: Statement, position: int, escapes: bool) -> int:
    start = max(0, position - _IN_FRONT)
    word = _word_at_end(statement, start, position)
    name = _starts_lock_function(statement, word.start())  # type: ignore[union-attr]
    if name is not None and _may_be_called(statement, name.end()):
        return _UNSURE
    return position + 1


def _may_be_called(statement: Statement, position: int) -> bool:
    """Whether the name that ends at *position* may be a function's."""
    return _is_no_call(statement, _after_blanks(statement, position, _blanks)) is None


def _after_dollar(statement: Statement, position: int, escapes: bool) -> int:
    # At the beginning of a word it may open one of MySQL 9's dollar-quoted strings.
    return _UNSURE if _begins_word(statement, position) else position + 1


_begins_word = re.compile(rb"(?<![\w$])\$").match


def _after_comment(statement: Statement, position: int, escapes: bool) -> int:
    if not statement.startswith(b"/*", position):
        return position + 1
    if _is_executable(statement, position + 2):
        return _UNSURE
    end = statement.find(b"*/", position + 2)
    if end == -1 or (
        # A hint, in which quoted names may have the end of a comment in them.
        statement[position + 2 : position + 3] == b"+"
        and any(statement.find(quote, position, end) != -1 for quote in _QUOTES)
    ):
        return _UNSURE
    return end + 2


_is_executable = re.compile(b"M?!").match
_QUOTES = (b"'", b'"', b"`")


def _after_line(statement: Statement, position: int, escapes: bool) -> int:
    end = statement.find(b"\n", position)
    return len(statement) if end == -1 else end + 1


def _after_dashes(statement: Statement, position: int, escapes: bool) -> int:
    """Two dashes are a comment in front of a blank or a control character only.

    Which those are depends on the character set, except in ASCII.
    """
    if not statement.startswith(b"--", position):
        return position + 1
    following = statement[position + 2 : position + 3]
    if following <= b" ":
        return _after_line(statement, position, escapes)
    return position + 1 if following < b"\x7f" else _UNSURE


def _after_semicolon(statement: Statement, position: int, escapes: bool) -> int:
    end = _after_blanks(statement, position, _blank_or_end)
    return end if end == len(statement) else _UNSURE


def _is_unsure(statement: Statement, position: int, escapes: bool) -> int:
    return _UNSURE


Blank = Callable[[Statement, int], "re.Match[bytes] | None"]
_AFTER: Mapping[int, Callable[[Statement, int, bool], int]] = {
    ord("/"): _after_comment,
    ord("-"): _after_dashes,
    ord("#"): _after_line,
    ord("'"): _after_string,
    ord('"'): _after_name,
    ord("`"): _after_name,
    ord("@"): _after_variable,
    ord("_"): _after_lock,
    ord("$"): _after_dollar,
    ord(";"): _after_semicolon,
    0: _is_unsure,
}
_blank = re.compile(rb"[\s(]*").match
_blanks = re.compile(rb"\s*").match
#: Anything else may be a blank in some character set, as 0xA0 is in latin1.
_is_no_call = re.compile(rb"[\w`,.;=<>!)]|\Z").match
_blank_or_end = re.compile(rb"[\s;]*").match
_opens_comment = re.compile(rb"/\*|--|#").match

_opens = re.compile(
    rb"""(?x: ['"`] | /\*M?!\d* | /\* | -- (?= [\x00-\x20] | \Z ) | \# )"""
).search
_ends_double_quotes = {
    True: re.compile(rb'["\\]').search,
    False: re.compile(rb'"').search,
}


def code_of(statement: Statement, escapes: bool) -> bytes:
    """Return *statement* without its strings and comments, and the quotes of its names.

    As a server without ANSI_QUOTES reads it, executable comments too.
    """
    parts: list[Statement] = []
    position = 0
    while (opens := _opens(statement, position)) is not None:
        parts.append(statement[position : opens.start()])
        position = opens.end()
        kind = opens[0]
        if kind == b"'":
            position = _after_string(statement, opens.start(), escapes)
        elif kind == b'"':
            position = _after_double_quotes(statement, position, escapes)
        elif kind == b"`":
            end = statement.find(b"`", position)
            parts.append(statement[position:end])
            position = end + 1 or _UNSURE
        elif kind == b"/*":
            end = statement.find(b"*/", position)
            position = _UNSURE if end == -1 else end + 2
        elif kind in (b"--", b"#"):
            position = _after_line(statement, position, escapes)
        if position == _UNSURE:
            return b" ".join(parts)
    return b" ".join([*parts, statement[position:]])


def _after_double_quotes(statement: Statement, position: int, escapes: bool) -> int:
    ends = _ends_double_quotes[escapes]
    while (found := ends(statement, position)) is not None:
        position = found.end()
        if found[0] == b'"':
            return position
        position += 1
    return _UNSURE


_resource_group = re.compile(
    rb"""(?x: \b RESOURCE
    (?: \s
      | /\* (?: [^*] | \*(?!/) ){0,200} \*/
      | (?: -- | \# ) [^\n]{0,200} \n
    ){1,200}
    GROUP \b )"""
).search


def outlasts_reset(statement: Statement) -> bool:
    """Whether *statement* changes what a session keeps when it is made as new.

    MySQL forgets a session's resource group only with the connection, and either server
    its profiles, which are the texts of the last statements. MariaDB (10.11.19) makes a
    session as new that has prepared an XA transaction, and refuses it InnoDB then.
    """
    text = statement.upper()
    if b"PROFILING" in text or (b"XA" in text and b"PREPARE" in text):
        return True
    return b"RESOURCE" in text and (b"/*!" in text or _resource_group(text) is not None)
