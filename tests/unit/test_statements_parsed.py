"""What the watcher calls clean, read by a parser that others have written."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import assume, example, given, settings
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from pooled_db.driver.statements import may_change_session
from tests.statements import statements

HARMLESS = {
    *("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "SHOW"),
    *(
        "EXPLAIN",
        "ANALYZE",
        "DESC",
        "DESCRIBE",
        "DO",
        "SAVEPOINT",
        "RELEASE",
        "ROLLBACK",
    ),
}
LOCK_FUNCTIONS = {"GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"}


def read(statement: str) -> list[Token]:
    try:
        return list(MySQL().tokenize(statement))
    except TokenError:  # the server would not execute it either
        assume(False)
        raise


@settings(max_examples=500, deadline=None)
@given(statements())
@example("SELECT 1;;---- ")
def test_nothing_that_a_parser_sees_is_overlooked(statement: str) -> None:
    assume(not may_change_session(statement.encode()))
    # It takes "\N" for a mistake, and knows no NUL.
    tokens = read(statement)
    words = [token.text.upper() for token in tokens]
    kinds = [token.token_type for token in tokens]
    names = (TokenType.VAR, TokenType.IDENTIFIER)

    if words[:2] == ["SET", "STATEMENT"]:
        tokens = tokens[words.index("FOR") + 1 :]
    first = next(t for t in tokens if t.token_type is not TokenType.L_PAREN)
    assert first.text.upper() in HARMLESS
    assert TokenType.PARAMETER not in kinds
    if TokenType.SEMICOLON in kinds:
        # No statement is of dashes only.
        after = {*kinds[kinds.index(TokenType.SEMICOLON) :]}
        assert after <= {TokenType.SEMICOLON, TokenType.DASH}
    for token, following in pairwise(tokens):
        if token.token_type in names and token.text.upper() in LOCK_FUNCTIONS:
            # It is a column's name.
            assert following.token_type is not TokenType.L_PAREN
    for token in tokens:
        for comment in token.comments:
            assert f"/*{comment}" not in statement or not re.match("M?!", comment)


def test_the_parser_sees_what_changes_a_session() -> None:
    kinds = [t.token_type for t in read("SELECT @a := 1, `GET_LOCK`('x', 0); SELECT 1")]

    assert TokenType.PARAMETER in kinds
    assert TokenType.IDENTIFIER in kinds
    assert TokenType.SEMICOLON in kinds
    assert read("SELECT 1 /*M! , 2 */")[1].comments == ["M! , 2 "]
