"""Long statements: how much a look at them takes, and that it sees no less."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooled_db.driver import statements
from pooled_db.driver.statements import may_change_session

QUARTER = 1 << 18

#: Each is repeated until the statement has the wanted length.
LONG = {
    "text": ("INSERT INTO t VALUES ('@", "x", "')"),
    "at signs": ("INSERT INTO t VALUES ('", "@", "')"),
    "escaped quotes": ("INSERT INTO t VALUES ('@", "\\'", "')"),
    "doubled quotes": ("INSERT INTO t VALUES ('@", "''", "')"),
    "doubled quotes in words": ("INSERT INTO t VALUES ('@", "it''s", "')"),
    "doubled quotes far apart": ("SELECT '@", 600 * "x" + "''", "'"),
    "doubled and escaped": ("INSERT INTO t VALUES ('@", "\\n''", "')"),
    "strings with quotes": ("INSERT INTO t VALUES ('@'", ",'it''s'", ")"),
    "backslashes": ("INSERT INTO t VALUES ('@", "\\\\", "')"),
    "binary": ("INSERT INTO t VALUES (_binary'@", "ab\\0\\'c@;--#/*d", "')"),
    "short strings": ("INSERT INTO t VALUES ('@'", ",'a@b'", ")"),
    "escaped strings": ("INSERT INTO t VALUES ('@'", ",'a\\'\\nb'", ")"),
    "many escapes": ("SELECT '@", ",'" + 31 * ("x" * 500 + "\\'") + "'", "'"),
    "numbers": ("INSERT INTO t VALUES ('@'", ",-1.5", ")"),
    "names": ("SELECT '@'", ',`a_b`,c_d,"e@"', ""),
    "names of locks": ("SELECT '@'", ",a_lock", ""),
    "comments": ("SELECT '@'", "/* a */ -- b\n# c\n", ""),
    "beginnings of comments": ("SELECT '@", "/*", "'"),
    "open comments": ("SELECT 1 ", "/*", ""),
    "open quotes": ("SELECT '@", '`"', ""),
    "open names": ("SELECT '@' ", '`` ""', "`"),
    "slashes and dashes": ("SELECT '@'", "/-", ""),
    "blanks": ("SELECT '@'", " (", ""),
    "blanks in front": ("", " (", "SELECT '@'"),
    "comments in front": ("", "/**/", "SELECT '@'"),
    "semicolons": ("SELECT '@'", ";", ""),
    "variables": ("SELECT '@'", ",@@a", ""),
    "settings": ("SET STATEMENT a=1", " , a = 1", " FOR SELECT '@'"),
    "open settings": ("SET STATEMENT a=1 ", " ", "'@'"),
    "keyword": ("RELEASE ", " ", "'@'"),
}


def long(kind: str, length: int) -> bytes:
    before, unit, after = LONG[kind]
    return (before + unit * (length // len(unit)) + after).encode()


@pytest.mark.parametrize("escapes", [True, False])
@pytest.mark.parametrize("kind", LONG)
def test_a_look_takes_next_to_no_memory(kind: str, escapes: bool) -> None:
    statement = long(kind, QUARTER)
    tracemalloc.start()
    try:
        may_change_session(statement, lambda: escapes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < QUARTER // 4


class Searched(bytes):
    """A statement that counts how many of its bytes are searched for a character."""

    searched = 0

    def find(self, what: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(what, start, end)
        last = len(self) if end is None else end
        self.searched += (last if found == -1 else found) - start
        return found


@pytest.mark.parametrize("escapes", [True, False])
@pytest.mark.parametrize("kind", LONG)
def test_no_byte_is_searched_more_than_a_few_times(kind: str, escapes: bool) -> None:
    statement = Searched(long(kind, QUARTER))
    may_change_session(statement, lambda: escapes)
    assert statement.searched < 2 * QUARTER


@pytest.mark.timing
@pytest.mark.parametrize("escapes", [True, False])
@pytest.mark.parametrize("kind", LONG)
def test_a_look_takes_time_in_proportion(kind: str, escapes: bool) -> None:
    def seconds(length: int) -> float:
        statement = long(kind, length)

        def look() -> float:
            begin = time.thread_time()
            may_change_session(statement, lambda: escapes)
            return time.thread_time() - begin

        return min(look() for _ in range(3))

    # If it were quadratic, sixteen times.
    assert seconds(QUARTER) < 8 * seconds(QUARTER // 4) + 0.001


@pytest.mark.timing
@pytest.mark.parametrize("character_set", ["gbk", "sjis", "big5", "utf8mb4"])
def test_64_kb_of_quotes_are_looked_at_within_20_ms(character_set: str) -> None:
    statement = b"SELECT '@" + b"''" * (1 << 15) + b"'"
    begin = time.thread_time()
    may_change_session(statement, lambda: True, lambda: character_set)
    assert time.thread_time() - begin < 0.02


@pytest.mark.parametrize("length", [0, 600, 100_000])
def test_a_backslash_escapes_only_where_sql_mode_lets_it(length: int) -> None:
    statement = b"SELECT '" + b"x" * length + b"\\', @a := 1, 'y' -- '"

    assert may_change_session(statement, lambda: False)
    assert not may_change_session(statement, lambda: True)
    assert may_change_session(statement + b", @a", lambda: True)


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("unit", [b"\\'", b"\\\\", b"\\\\\\'", b"a\\'b"])
def test_a_long_string_ends_at_the_first_quote_that_is_not_escaped(
    pad: int, unit: bytes
) -> None:
    statement = b"SELECT '" + b"x" * pad + unit * 20_000 + b"', 'a@'"

    assert not may_change_session(statement)
    assert may_change_session(statement + b", @a")


#: What a string is made of, and what would be something outside of it.
PIECES = [*'a @;`#"\n', "''", "\\\\", "\\'", "\\n", "--", "/*", "*/"]
#: More than is read in one match.
LONG_STRING = 501 * "x"


@given(
    st.lists(st.lists(st.sampled_from(PIECES)).map("".join), min_size=1, max_size=4),
    st.booleans(),
    st.integers(2, 9),
)
def test_a_long_string_is_read_like_a_short_one(
    texts: list[str], escapes: bool, size: int
) -> None:
    """The one in a match, the other in parts, wherever these end."""
    short = " , ".join(f"'{text}'" for text in texts)
    long = " , ".join(f"'{LONG_STRING}{text}'" for text in texts)
    judged = [
        may_change_session(f"SELECT {strings} # @".encode(), lambda: escapes)
        for strings in (short, long)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statements, "_FIRST_PART", size)
        patch.setattr(statements, "_LARGEST_PART", 2 * size)
        in_parts = may_change_session(f"SELECT {long} # @".encode(), lambda: escapes)
    assert [*judged, in_parts] == 3 * judged[:1]
    if escapes:  # and so each of the texts is one string
        assert not in_parts


@pytest.mark.timing
@pytest.mark.parametrize(
    ("unit", "escapes"),
    [
        *(("''", True), ("it''s", True), ("it\\'\\'s", True), ("\\n''", True)),
        *(("\\\\''", True), ("\\0", True), (600 * "x" + "''", True)),
        *(("''", False), ("it''s", False), (600 * "x" + "''", False)),
    ],
)
def test_4_mb_of_a_clients_text_are_read_within_50_ms(unit: str, escapes: bool) -> None:
    statement = f"INSERT INTO t VALUES ('@{unit * (4_000_000 // len(unit))}')".encode()
    begin = time.thread_time()
    assert not may_change_session(statement, lambda: escapes)
    assert time.thread_time() - begin < 0.05
