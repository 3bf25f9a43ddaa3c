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
ANALYZE SELECT 1
ANALYZE FORMAT=JSON SELECT `a` FROM t
ANALYZE TABLE t
SAVEPOINT `s1_x1`
RELEASE SAVEPOINT `s1_x1`
ROLLBACK TO SAVEPOINT `s1_x1`
SELECT * FROM t FOR UPDATE
SELECT * FROM t LOCK IN SHARE MODE
SELECT a-b, a - -1 FROM t
SELECT is_locked FROM door_lock
SELECT job_lock FROM t WHERE job_lock (1)
INSERT INTO t (job_lock) VALUES ('@')
INSERT INTO job_lock (a) VALUES (1)
INSERT INTO t (`get_lock`, release_lock) VALUES ('@', 1)
SELECT `t`.`release_lock` FROM t WHERE get_lock = 1 AND release_lock /* a */ < 2
SELECT get_lock FROM t -- done
SELECT t.get_lock_count, forget_lock, get_locks FROM t
SELECT 'GET_LOCK(1)', `my get_lock`
SELECT IS_FREE_LOCK('a'), IS_USED_LOCK('a')
SELECT NEXTVAL(s), SETVAL(s, 5)
SELECT LAST_INSERT_ID(), FOUND_ROWS()
SELECT 1;;
SELECT 1; -- done
SELECT 1; /* done */ # done
/*Model.objects.filter()*/ SELECT 1
/* Model */ SELECT 1
SELECT 1 /*Models: @a; SET*/
SELECT 1 /*action='%%2Fx',route='@x;'*/
SELECT /*+ MAX_EXECUTION_TIME(1000) */ 1
SELECT /*+ MAX_EXECUTION_TIME(1000) */ 'a', "b", `c`
SELECT 'a', (SELECT /*+ NO_ICP(t) */ 1)
DO 1
DO SLEEP(0)
SET STATEMENT max_statement_time=1 FOR SELECT 1
set statement max_statement_time = 0.5, sort_buffer_size=99999 for (select '@')
SET STATEMENT optimizer_switch='index_merge=off' FOR UPDATE t SET a = 1
SELECT `größe` FROM `straße` WHERE "größe" = '@'
SELECT a$b, '@'
SELECT 1 --1, '@'
SELECT 1 / 2 * 3, '@'
SELECT 2*/* a@b */3
SELECT /*/ a@b */ 1
SELECT a$'@'
"""

CHANGING = """
SET x = 1
SET SESSION sql_mode = ''
SET @a = 1
SET NAMES latin1
SET ROLE r
SET TRANSACTION READ ONLY
SET STATEMENT max_statement_time=1 FOR SET x = 1
SET STATEMENT max_statement_time=1 FOR CALL p()
SET STATEMENT max_statement_time=1 FOR SELECT @a := 1
SET STATEMENT max_statement_time=(SELECT 1) FOR SELECT 1
SELECT @a := 1
ANALYZE SELECT @a := 1
SELECT @`a` := 1
SELECT @@@a
SELECT 1 INTO @a
SELECT '@', @a
SELECT GET_LOCK('a', 1)
SELECT get_lock ('a', 1)
SELECT Get_Lock/**/('a', 1)
SELECT `GET_LOCK`('a', 1)
SELECT `get_lock` /* b */ ('a', 1)
SELECT "GET_LOCK"('a', 1)
SELECT shop.`GET_LOCK`('a', 1)
SELECT 1 FROM t WHERE a_lock = GET_LOCK('a', 1)
SELECT RELEASE_LOCK('a')
SELECT RELEASE_ALL_LOCKS()
SELECT service_get_read_locks('a', 'b', 1)
SELECT service_get_write_locks('a', 'b', 1)
SELECT service_release_locks('a')
SELECT version_tokens_lock_shared('a', 1)
SELECT `Version_Tokens_Lock_Exclusive`('a', 1)
DO GET_LOCK('a', 1)
DO @a := 1
SHOW TABLES WHERE GET_LOCK('a', 1)
INSERT INTO t VALUES (GET_LOCK('a', 1))
CREATE TEMPORARY TABLE t (a INT)
LOCK TABLES t WRITE
FLUSH TABLES WITH READ LOCK
USE other
PREPARE s FROM 'SELECT 1'
EXECUTE s
EXECUTE IMMEDIATE 'SET @a = 1'
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
SELECT /*!80000 1 */
SELECT /*M! 1 */
SELECT "a\\"", @a, "b"
SELECT "\\"", @a := 1, "\\""
SELECT 'it\\'s @a
SELECT 'it''s @a
SELECT $$ ' $$, @a, ' $$
SELECT 1; SELECT 2 -- one
SELECT 1; /*! SET x = 1 */
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
    [
        *("-- a comment\n", "# a comment\n", "/* a */ /* b */"),
        *("\n\t(", "--\n", "#\n", "/**/"),
    ],
)
def test_nothing_in_front_hides_a_statement(front: str) -> None:
    assert not may_change_session(f"{front}SELECT 1".encode())
    assert may_change_session(f"{front}SET x = 1".encode())


#: More than is read in one match.
LONG_STRING = 501 * "x"


@given(st.text())
def test_a_value_in_quotes_never_counts(value: str) -> None:
    doubled = value.replace("'", "''")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    for quoted, escapes in ((doubled, lambda: False), (escaped, lambda: True)):
        for front in ("", LONG_STRING):
            statement = f"SELECT '{front}{quoted}'".encode(errors="replace")
            assert not may_change_session(statement, escapes)
            assert may_change_session(statement + b", @a := 1", escapes)


@pytest.mark.parametrize("quote", ["`", '"'])
def test_a_long_name_never_counts(quote: str) -> None:
    name = quote + LONG_STRING + quote
    assert not may_change_session(f"SELECT {name}, '@'".encode())
    for after in (", @a", ";SET @a = 1"):
        assert may_change_session(f"SELECT {name}{after}".encode())
    assert not may_change_session(f"INSERT INTO {name} (a) VALUES ('@')".encode())


def test_a_backslash_in_double_quotes_is_trusted_where_it_never_escapes() -> None:
    # With ANSI_QUOTES it is part of a name.
    statement = b"SELECT \"a\\b\", '@'"
    assert may_change_session(statement, lambda: True)
    assert not may_change_session(statement, lambda: False)
    name = f"SELECT `{LONG_STRING}\\`, '@'".encode()
    assert not may_change_session(name, lambda: True)


#: Of 200 parts, which are all that is read in one match.
FULL = "SELECT '@'" + 99 * ",'a'"


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        *((f"{sign}'@'", False) for sign in "/-_,("),
        ("-1 , @a", True),
        ("/1 */ , @a", True),
    ],
)
def test_what_follows_a_full_match_is_read_as_elsewhere(
    after: str, changes: bool
) -> None:
    assert may_change_session(f"{FULL}{after}".encode()) is changes
    assert may_change_session(f"SELECT 'a'{after}".encode()) is changes


def test_two_dashes_are_a_comment_behind_a_third() -> None:
    assert not may_change_session(b"SELECT 2 --- a@b\n1")


def test_without_backslash_escapes_a_literal_ends_where_the_server_ends_it() -> None:
    statement = b"SELECT '\\', @a := 1, '\\'"

    assert may_change_session(statement, lambda: False)


@pytest.mark.parametrize("gap", ["\n", " \t\r\n", "/**/", "/* a */ -- b\n", "# b\n"])
@pytest.mark.parametrize("name", ["GET_LOCK", "`GET_LOCK`", '"GET_LOCK"'])
def test_a_lock_function_is_seen_whatever_stands_before_its_bracket(
    name: str, gap: str
) -> None:
    assert may_change_session(f"SELECT {name}{gap}('a', 1)".encode())


@pytest.mark.parametrize("name", [b"GET_LOCK", b"`GET_LOCK`", b"Release_Lock"])
def test_a_byte_that_may_be_a_blank_hides_no_lock_function(name: bytes) -> None:
    # 0xA0 is a blank in latin1, and a part of names elsewhere.
    for statement in (b"SELECT %b\xa0('a', 1)", b"SELECT 1,\xa0%b('a', 1)"):
        assert may_change_session(statement % name, lambda: True, lambda: "latin1")


@pytest.mark.parametrize("after", [",", " FROM t", ")", " = 1", ";", "", "\n<\n1"])
@pytest.mark.parametrize("name", ["GET_LOCK", "`GET_LOCK`", '"GET_LOCK"'])
def test_a_column_with_the_name_of_a_lock_function_is_none(
    name: str, after: str
) -> None:
    assert not may_change_session(f"SELECT {name}{after}".encode())
    # What no name is followed by may be a blank, or stand for one.
    assert may_change_session(f"SELECT {name}\x01{after}".encode())


@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT 1 --\x7f'\n, @a := 1 -- '",  # DEL is a control character
        b"SELECT 1 --\xa0'\n, @a := 1 -- '",  # a blank, in latin1
        b"SELECT /*+ QB_NAME(`a*/`) */ @a := 1, '`' -- '",
        b"SELECT /*+ QB_NAME(\"a*/\") */ @a := 1, '\"' -- '",
        b"SELECT /*+ QB_NAME('a*/') */ @a := 1, \"'\" -- \"",
        b"SELECT '@', \0 1",
    ],
)
def test_what_a_server_may_take_for_something_else_counts(statement: bytes) -> None:
    assert may_change_session(statement)


# What was made of characters whose second byte can be a backslash or a backtick.


@pytest.mark.parametrize("name", ["gbk", "gb18030", "big5", "sjis", "cp932", "new"])
def test_no_closer_look_is_trusted_in_such_a_character_set(name: str) -> None:
    # 0xBF5C is one character in gbk: the first string ends behind it.
    hiding = b"SELECT '\xbf\\', @a := 1, '\xbf\\'"

    assert may_change_session(hiding, lambda: True, lambda: name)
    assert may_change_session(b"SELECT '@'", lambda: True, lambda: name)
    assert not may_change_session(b"SELECT '\xbf\\'", lambda: True, lambda: name)
    assert not may_change_session(b"SELECT '@'", lambda: True, lambda: "utf8mb4")


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
        (b"SET/**/RESOURCE/* a * b */-- c\n# d\nGROUP batch", True),
        (b"/*!80003 SET RESOURCE */ GROUP batch", True),
        (b"SELECT resource /* FROM t GROUP BY 1", False),
        (b"SET profiling = 1", True),
        (b"SET @@session./**/Profiling=1", True),
        (b"SHOW PROFILES", False),
        (b"XA PREPARE 'a'", True),
        (b"EXECUTE IMMEDIATE 'xa/**/prepare ''a'''", True),
        (b"XA START 'a'", False),
        (b"PREPARE s FROM 'SELECT 1'", False),
        (b"SET NAMES utf8mb4", False),
        (b"/*!50000 SET x = 1 */", False),
    ],
)
def test_what_no_reset_undoes_is_told_apart(statement: bytes, outlasts: bool) -> None:
    assert outlasts_reset(statement) is outlasts
