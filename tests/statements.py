"""Statements that could take in the watcher of statements, made by chance."""

from __future__ import annotations

from hypothesis import strategies as st

_BEGINNINGS = (
    *(
        "SELECT 1, ",
        "SELECT ",
        "(SELECT ",
        "DO ",
        "",
        "/* a */ SELECT ",
        "-- a\nSELECT ",
    ),
    "SET STATEMENT max_statement_time=1 FOR SELECT ",
)
#: What opens and ends something, what changes a session, and what neither does.
_PIECES = (
    *"'\"`\\@;#-/*!+,()$ \n\t1a",
    *("''", "\\'", "/*", "*/", "/*!", "/*M!", "/*+ ", "/*M", "-- ", "--", "# ", "\\N"),
    *(
        "@a := 1",
        "@a",
        "@`a` := 1",
        "@@sql_mode",
        ", @a := 1, ",
        ", GET_LOCK('x', 0), ",
    ),
    *("GET_LOCK", "`GET_LOCK`", '"get_lock"', "('x', 0)", "_lock", "x_lock", "lock"),
    *("SELECT ", "SET @a = 1", " AS ", "FROM ", "it''s", "1, ", "é", "'a@b'", '"', "_"),
    *("'é'", "`é`", "N'a'", "x'41'", "1.5", "--1", "- -1", ";;", "\n-- a\n", "DO "),
)
#: First bytes of characters, and what some character sets take for one.
BROKEN_CHARACTERS = (
    b"\xe2",
    b"\xf0\xe2",
    b"\xbf\\",
    b"\x95\\",
    b"\xbf`",
    b"\xa0",
    b"\x7f",
    b"\0",
)


def statements() -> st.SearchStrategy[str]:
    return statements_in_bytes(()).map(bytes.decode)


def statements_in_bytes(
    others: tuple[bytes, ...] = BROKEN_CHARACTERS,
) -> st.SearchStrategy[bytes]:
    """The same, with *others* among the pieces."""
    pieces = [*map(str.encode, _PIECES), *others]
    return st.builds(
        lambda beginning, parts: beginning + b"".join(parts),
        st.sampled_from([*map(str.encode, _BEGINNINGS)]),
        st.lists(st.sampled_from(pieces), max_size=14),
    )


def traps() -> list[bytes]:
    """Twice the same string, name or comment, and a variable set in between.

    If the first ends later than the watcher believes, or earlier, so does the second.
    """
    quotes = [(b"'", b"'"), (b"1 AS `", b"`"), (b'1 AS "', b'"'), (b"1 /*", b"*/ + 1")]
    inner = [b"\\", b"\\'", b'\\"', b"''", b"'", b'"', b"`", b"a", b"/*", b"/*!"]
    return [
        b"SELECT %b, @a := 1, %b" % ((text.join(pair),) * 2)
        for pair in quotes
        for text in [*inner, *BROKEN_CHARACTERS]
    ]
