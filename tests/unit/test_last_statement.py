"""Which statements ask for what another's statement has left in the connection."""

from __future__ import annotations

import pytest

from pooled_db.driver.last_statement import LastStatement

OF_INSERT = """
SELECT LAST_INSERT_ID()
select last_insert_id ( )
SELECT `LAST_INSERT_ID`()
SELECT LAST_INSERT_ID/* a */()
INSERT INTO t (a) VALUES (LAST_INSERT_ID())
SELECT LASTVAL(s)
SELECT `LASTVAL` (s)
SELECT PREVIOUS/**/VALUE FOR s
SELECT @@last_insert_id
SELECT @@identity
SELECT @@session.last_insert_id
SELECT @@local . `identity`
SELECT 'it\\'s', "a\\"b", LAST_INSERT_ID()
SELECT "a\\"", LAST_INSERT_ID()
SELECT '', LAST_INSERT_ID()
SELECT 'a''b', "a""b", `'`, LAST_INSERT_ID()
SELECT /* ' */ LAST_INSERT_ID()
SELECT 1 /* a */, /* b */ LAST_INSERT_ID()
SELECT /*!50000 LAST_INSERT_ID() */
SELECT /*M! LAST_INSERT_ID() */
PREPARE s FROM 'SELECT LAST_INSERT_ID()'
EXECUTE IMMEDIATE 'SELECT LAST_INSERT_ID()'
"""

OF_STATEMENT = """
SELECT FOUND_ROWS()
SELECT `FOUND_ROWS`/**/()
SELECT ROW_COUNT()
SHOW WARNINGS
SHOW/**/WARNINGS LIMIT 1
SHOW ERRORS
SHOW COUNT(*) WARNINGS
SHOW COUNT ( * ) ERRORS
GET DIAGNOSTICS @a = NUMBER
GET CURRENT DIAGNOSTICS @a = NUMBER
GET STACKED DIAGNOSTICS @a = NUMBER
SELECT @@warning_count
SELECT @@session.error_count
"""

NEITHER = """
SELECT 1
SELECT LAST_INSERT_ID(5)
UPDATE t SET a = LAST_INSERT_ID(a + 1)
INSERT INTO t (a) VALUES ('LAST_INSERT_ID()')
INSERT INTO t (a) VALUES ('first SHOW WARNINGS, then it''s ROW_COUNT()')
INSERT INTO t (a) VALUES ('\\'FOUND_ROWS() \\\\')
INSERT INTO t (a) VALUES ("say \\"@@identity\\" or LASTVAL(s)")
INSERT INTO t (a) VALUES ("a\\%LASTVAL(s)")
SELECT 1 /* SHOW WARNINGS */
SELECT 1 -- LAST_INSERT_ID()
SELECT 1 # LAST_INSERT_ID()
SELECT row_count, identity, found_rows FROM previous
SELECT 'LAST_INSERT_ID()
SELECT "LAST_INSERT_ID()
SELECT 1 ` LAST_INSERT_ID()
SELECT 1 /* LAST_INSERT_ID()
"""


def lines(text: str) -> list[bytes]:
    return [line.encode() for line in text.strip().split("\n")]


def asks(statement: bytes | bytearray) -> bool:
    """Whether it asks as the first statement of a connection's next user."""
    return LastStatement().asks_for_lost(statement, 0) is not None


@pytest.mark.parametrize("statement", [*lines(OF_INSERT), *lines(OF_STATEMENT)])
def test_a_question_is_seen_however_it_is_written(statement: bytes) -> None:
    assert asks(statement)
    assert asks(bytearray(statement))


@pytest.mark.parametrize("statement", lines(NEITHER))
def test_what_a_value_or_a_comment_says_is_no_question(statement: bytes) -> None:
    assert not asks(statement)


@pytest.mark.parametrize("comment", ["-- '", "--", '# "', "#"])
def test_a_comment_ends_with_its_line(comment: str) -> None:
    assert asks(f"SELECT {comment}\nLAST_INSERT_ID()".encode())
    assert not asks(f"SELECT 1 {comment} LAST_INSERT_ID()".encode())


def test_a_backslash_ends_no_string_early_where_it_does_not_escape() -> None:
    statement = b"SELECT '\\', LAST_INSERT_ID(), '\\'"
    answer = LastStatement().asks_for_lost(statement, 0, lambda: False)
    assert answer == "LAST_INSERT_ID()"
    assert not asks(statement)


@pytest.mark.parametrize("statement", lines(OF_STATEMENT))
def test_a_statement_of_ones_own_may_be_asked_about(statement: bytes) -> None:
    last = LastStatement()
    assert last.asks_for_lost(b"SELECT 1", 0) is None
    assert last.asks_for_lost(statement, 0) is None


@pytest.mark.parametrize("statement", lines(OF_INSERT))
def test_an_identifier_is_ones_own_only_after_an_insert(statement: bytes) -> None:
    last = LastStatement()
    assert last.asks_for_lost(b"UPDATE t SET a = 1", 0) is None
    assert last.asks_for_lost(statement, 0) is not None
    assert last.asks_for_lost(b"INSERT INTO t VALUES (NULL)", 0) is None
    assert last.asks_for_lost(statement, 7) is None
    assert last.asks_for_lost(statement, 0) is None


def test_the_identifier_of_the_last_users_statement_is_not_ones_own() -> None:
    last = LastStatement()
    assert last.asks_for_lost(b"SELECT 1", 7) is None
    assert last.asks_for_lost(b"SELECT LAST_INSERT_ID()", 0) is not None
