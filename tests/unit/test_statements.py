"""Which statements count as changing their session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooled_db.driver.statements import may_change_session, outlasts_reset

HARMLESS = """
SELECT 1
select `t`.`id` from `t` where `t`.`name` = 'it''s' limit 21
  SELECT 1
(SELECT 1) UNION (SELECT 2)
((SELECT 1))
SELECT 'user@example.org'
SELECT "user@example.org", 'a\\'b@c', 'semi;colon', '/* no comment */', '-- no', '# no'
SELECT `a@b` FROM `x;y`
SELECT '@', "it's @", '\\\\'
SELECT @@session.sql_mode
SELECT 1;
SELECT 1 ;
/* app:shop */ SELECT 1
SELECT /* user@example.org; */ 1
-- SET x = 1
SELECT 1 -- trailing @comment
SELECT 1 # trailing @comment
INSERT INTO `t` (`a`) VALUES ('x@y')
INSERT INTO t VALUES (1) RETURNING id
UPDATE t SET a = 1
DELETE FROM t
REPLACE INTO t VALUES (1)
WITH x AS (SELECT 1) SELECT * FROM x
SHOW TABLES
EXPLAIN SELECT 1
SAVEPOINT `s1_x1`
RELEASE SAVEPOINT `s1_x1`
ROLLBACK TO SAVEPOINT `s1_x1`
SELECT * FROM t FOR UPDATE
SELECT * FROM t LOCK IN SHARE MODE
SELECT a-b, a - -1 FROM t
SELECT is_locked FROM door_lock
"""

CHANGING = """
SET x = 1
SET SESSION sql_mode = ''
SET @a = 1
SET NAMES latin1
SET ROLE r
SET TRANSACTION READ ONLY
SET STATEMENT max_statement_time=1 FOR SELECT 1
SELECT @a := 1
SELECT 1 INTO @a
SELECT '@', @a
SELECT GET_LOCK('a', 1)
SELECT get_lock ('a', 1)
SELECT Get_Lock/**/('a', 1)
DO GET_LOCK('a', 1)
CREATE TEMPORARY TABLE t (a INT)
LOCK TABLES t WRITE
FLUSH TABLES WITH READ LOCK
USE other
PREPARE s FROM 'SELECT 1'
EXECUTE s
HANDLER t OPEN
XA START 'a'
BEGIN
START TRANSACTION
COMMIT
COMMIT AND CHAIN
ROLLBACK
CALL p()
SELECT 1; SET x = 1
SELECT 'a'; SELECT 2
/*! SET x = 1 */
/*!50000 SET x = 1 */
/*M! SET x = 1 */
SELECT /*! @a := */ 1
/* harmless */ SET x = 1
# harmless
-- harmless
(SET x = 1)
SELECT /* unfinished
LOAD DATA INFILE 'x' INTO TABLE t
ALTER TABLE t ADD a INT
nonsense
SELECT --@a
"""


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    "statement", [line for line in lines(HARMLESS) if not line.startswith("--")]
)
def test_a_usual_statement_changes_nothing(statement: str) -> None:
    assert not may_change_session(statement.encode())


@pytest.mark.parametrize("statement", [*lines(CHANGING), "", " "])
def test_what_changes_the_session_or_cannot_be_understood_counts(
    statement: str,
) -> None:
    assert may_change_session(statement.encode())


@pytest.mark.parametrize(
    "front",
    ["-- a comment\n", "# a comment\n", "/* a */ /* b */", "\n\t(", "--\n", "/**/"],
)
def test_nothing_in_front_hides_a_statement(front: str) -> None:
    assert not may_change_session(f"{front}SELECT 1".encode())
    assert may_change_session(f"{front}SET x = 1".encode())


@given(st.text())
def test_a_value_in_quotes_never_counts(value: str) -> None:
    doubled = value.replace("'", "''")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    for quoted, escapes in ((doubled, lambda: False), (escaped, lambda: True)):
        statement = f"SELECT '{quoted}'".encode(errors="replace")
        assert not may_change_session(statement, escapes)


def test_without_backslash_escapes_a_literal_ends_where_the_server_ends_it() -> None:
    statement = b"SELECT '\\', @a := 1, '\\'"

    assert may_change_session(statement, lambda: False)


@given(st.binary())
def test_no_statement_is_too_strange_to_be_judged(statement: bytes) -> None:
    assert may_change_session(statement) in (True, False)


@given(st.text(alphabet="'\"`\\@;#-/*! aSELCT\n", max_size=30))
def test_a_variable_after_closed_quotes_is_always_seen(text: str) -> None:
    assert may_change_session(f"SELECT {text!r}".encode()) in (True, False)
    assert may_change_session(f"SELECT '' , @a {text}".encode())


@pytest.mark.parametrize(
    ("statement", "outlasts"),
    [
        (b"SET RESOURCE GROUP batch", True),
        (b"SELECT 1; set resource\ngroup batch", True),
        (b"SELECT /*+ RESOURCE_GROUP(batch) */ 1", False),
        (b"SELECT resource FROM t GROUP BY 1", False),
        (b"SET NAMES utf8mb4", False),
    ],
)
def test_what_no_reset_undoes_is_told_apart(statement: bytes, outlasts: bool) -> None:
    assert outlasts_reset(statement) is outlasts
