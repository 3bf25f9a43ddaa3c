"""What statements leave in a session, and what is done about it."""

from __future__ import annotations

import MySQLdb
import pytest

from pooled_db.driver import DriverConnection
from pooled_db.driver.connection import NOT_SET_UP, Connection
from pooled_db.pool.loan import Loan
from tests.harness.fake_server import FakeServer
from tests.loans import run


def test_what_was_changed_first_is_told_whatever_comes_after(
    lent: tuple[Loan, Connection],
) -> None:
    _, connection = lent
    connection.isolation_level = "read committed"
    run(connection, "SET @a = 1", "SET @b = 2")
    connection.change_user("other", "password", "database")
    assert connection.dirtied_by == "SET @a = 1"
    assert connection.isolation_level is NOT_SET_UP


def test_what_no_reset_undoes_is_not_kept(lent: tuple[Loan, Connection]) -> None:
    _, connection = lent
    run(connection, "SELECT 'xa', 'prepare', 'profiling'", "SET @a = 1")
    assert not connection.is_doubtful
    run(connection, "SET profiling = 1")
    assert connection.is_doubtful


def test_one_that_is_made_as_new_is_not_made_so_again(
    lent: tuple[Loan, Connection],
) -> None:
    _, connection = lent
    run(connection, "SET @a = 1")
    assert connection.reset_session(autocommit=True)
    assert (connection.is_dirty, connection.dirtied_by) == (False, None)


def test_one_whose_server_does_not_do_it_is_left_as_it_is(
    server: FakeServer, lent: tuple[Loan, Connection]
) -> None:
    loan, connection = lent
    run(connection, "SET @a = 1")
    server.says("change_user", 1053, "Server shutdown in progress")
    assert not connection.reset_session(autocommit=True)
    assert connection.is_dirty
    loan.discard()


def test_a_backslash_escapes_a_quote_if_the_server_says_so(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connection = lent
    run(connection, r"SELECT '\' @a := 1'")
    assert not connection.is_dirty
    # As with NO_BACKSLASH_ESCAPES in sql_mode.
    monkeypatch.setattr(
        Connection, "string_literal", {b"'": b"''''"}.get, raising=False
    )
    run(connection, r"SELECT '\', @a := 1 -- '")
    assert connection.is_dirty


def test_whoever_takes_one_outside_of_requests_is_known_by_where(
    lent: tuple[Loan, Connection],
) -> None:
    loan, _ = lent
    assert loan.origin is not None


@pytest.mark.filterwarnings("ignore:The reconnect parameter:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "arguments", "changes", "is_doubtful"),
    [
        ("rollback", (), None, False),
        ("ping", (), None, False),
        ("select_db", ("shop",), "select_db()", False),
        ("set_character_set", ("latin1", None), "set_character_set()", False),
        ("set_server_option", (1,), None, True),
        ("change_user", ("other", "password"), "change_user()", False),
    ],
)
def test_what_the_driver_is_asked_for_is_done_and_what_it_changes_is_told(
    lent: tuple[Loan, Connection],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    arguments: tuple[object, ...],
    changes: str | None,
    is_doubtful: bool,
) -> None:
    _, connection = lent
    done: list[tuple[object, ...]] = []
    with monkeypatch.context() as patch:
        patch.setattr(DriverConnection, name, lambda self, *args: done.append(args))
        getattr(connection, name)(*arguments)
    assert done == [arguments]
    assert connection.dirtied_by == changes
    assert (connection.is_doubtful, connection.in_query) == (is_doubtful, False)


# What others have left there, and no user may take for an answer.


def test_what_anothers_statement_has_left_is_asked_for_in_vain(
    server: FakeServer, lent: tuple[Loan, Connection]
) -> None:
    _, connection = lent
    connection.forget_last_statement()
    run(connection, "SELECT 1")
    before = server.reached["query"]
    with pytest.raises(MySQLdb.ProgrammingError) as raised:
        connection.query("SELECT LAST_INSERT_ID()")
    assert raised.value.args == (
        0,
        (
            "LAST_INSERT_ID() asks for what an earlier statement has left in its "
            "connection, which others have used since. Keep the two statements in one "
            "transaction."
        ),
    )
    assert server.reached["query"] == before


def test_what_ones_own_has_left_is_asked_for(
    lent: tuple[Loan, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connection = lent
    connection.forget_last_statement()
    run(connection, "INSERT INTO t VALUES (1)")
    monkeypatch.setattr(DriverConnection, "insert_id", lambda self: 7)
    run(connection, "SELECT LAST_INSERT_ID()")
