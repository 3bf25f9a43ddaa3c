"""What is done to make a session as new, and when it is closed instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import reset
from pooled_db.driver.connection import Connection
from pooled_db.driver.reset import Account

OPTIONS = {"host": "127.0.0.1", "port": 6446, "user": "shop", "password": "secret"}
MARIADB, MYSQL = "10.11.19-MariaDB-0+deb12u1", "8.4.7"
STATE = "SELECT @@init_connect, CURRENT_ROLE()"


class Session:
    """What `make_as_new` asks of a connection; it notes what is done to it."""

    def __init__(
        self,
        version: str = MYSQL,
        *,
        init_connect: str = "",
        role: str | None = None,
        default_roles: int = 0,
        refusal: int | None = None,
        current_options: Callable[[], Any] | None = None,
    ) -> None:
        self.version = version
        self.rows = {
            STATE: (init_connect, role),
            reset.IS_DEFAULT_ROLE: (default_roles,),
        }
        self.refusal = refusal
        self.current_options = current_options
        self.done: list[object] = []
        self.results_left = 0
        self.is_unread = False

    def get_server_info(self) -> str:
        return self.version

    def change_user(self, *account: str) -> None:
        self.done.append(("change_user", *account))
        if self.refusal is not None:
            raise MySQLdb.OperationalError(self.refusal, "so be it")

    def query(self, statement: str) -> None:
        assert not self.results_left
        self.done.append(statement)
        self.results_left = statement.count(";") + 1
        self.is_unread = True

    def store_result(self) -> Any:
        self.discard_result()
        return self

    def next_result(self) -> int:
        assert not self.is_unread, "commands out of sync"
        self.is_unread = self.results_left > 0
        return 0 if self.is_unread else -1

    def discard_result(self) -> None:
        assert self.is_unread
        self.is_unread = False
        self.results_left -= 1

    def fetch_row(self) -> tuple[tuple[object, ...]]:
        return (self.rows[self.done[-1]],)  # type: ignore[index]

    def character_set_name(self) -> str:
        return "latin2"

    def set_character_set(self, name: str, collation: str | None) -> None:
        self.done.append((name, collation))

    def set_sql_mode(self, mode: str) -> None:
        self.done.append(("sql_mode", mode))

    def autocommit(self, on: bool) -> None:
        self.done.append(("autocommit", on))


def make_as_new(session: Session, autocommit: bool = True, **options: Any) -> bool:
    made = reset.make_as_new(session, {**OPTIONS, **options}, autocommit)  # type: ignore[arg-type]
    assert not session.results_left
    return made


LOGIN = ("change_user", "shop", "secret", "")
USUAL_END = [("latin2", None), ("autocommit", True)]


# What is done.


@pytest.mark.parametrize(
    ("version", "role", "default_roles", "statements"),
    [
        (MYSQL, "NONE", 0, []),
        (MYSQL, "`reader`@`%`", 0, []),
        (MARIADB, None, 0, []),
        (MARIADB, "reader", 1, [reset.IS_DEFAULT_ROLE]),
        (MARIADB, "reader", 0, [reset.IS_DEFAULT_ROLE, "SET ROLE NONE"]),
    ],
)
def test_a_role_is_asked_for_where_the_server_may_leave_one(
    version: str, role: str | None, default_roles: int, statements: list[str]
) -> None:
    session = Session(version, role=role, default_roles=default_roles)
    assert make_as_new(session)
    assert session.done == [LOGIN, STATE, *statements, *USUAL_END]


@pytest.mark.parametrize("autocommit", [True, False])
def test_what_the_options_say_is_done_in_the_order_of_a_connect(
    autocommit: bool,
) -> None:
    session = Session()
    assert make_as_new(
        session,
        autocommit,
        db="shop",
        database="elsewhere",
        passwd="newer",
        init_command="SET @a = 1; SET @b = 2; SELECT 3",
        charset="utf8mb4",
        collation="utf8mb4_bin",
        sql_mode="ANSI",
    )
    assert session.done == [
        ("change_user", "shop", "newer", "shop"),
        STATE,
        "SET @a = 1; SET @b = 2; SELECT 3",
        ("utf8mb4", "utf8mb4_bin"),
        ("sql_mode", "ANSI"),
        ("autocommit", autocommit),
    ]


def test_a_server_that_sets_sessions_up_at_login_does_so_at_a_login_only() -> None:
    session = Session(init_connect="SET wait_timeout = 9")
    assert not make_as_new(session)
    assert session.done == [LOGIN, STATE]


# MySQL Router, which names itself in its version.


@pytest.mark.parametrize("version", ["9.7.4-router", "8.4.0-router"])
def test_a_session_behind_router_is_closed_instead_of_reset(version: str) -> None:
    session = Session(version)
    assert not make_as_new(session)
    assert session.done == []


@pytest.mark.parametrize("version", ["9.7.4", MARIADB, "8.0.11"])
def test_any_other_is_reset(version: str) -> None:
    session = Session(version)
    assert make_as_new(session)
    assert session.done[0] == LOGIN


# Whose session it is.


@pytest.fixture(autouse=True)
def nobody_refused() -> Iterator[None]:
    reset.let_in(OPTIONS)
    yield
    reset.let_in(OPTIONS)


@pytest.mark.parametrize(
    "options",
    [
        {"host": "127.0.0.1"},
        {**OPTIONS, "read_default_file": "/etc/my.cnf"},
        {**OPTIONS, "read_default_group": "client"},
    ],
)
def test_an_account_that_a_file_may_name_is_not_logged_in_to(
    options: dict[str, Any],
) -> None:
    session = Session()
    assert Account.of(options) is None
    assert not reset.make_as_new(session, options, True)  # type: ignore[arg-type]
    assert session.done == []
    # Nor is one with the present credentials, if the next would be opened by a file's.
    session = Session(current_options=lambda: options)
    assert not make_as_new(session)
    assert session.done == []


def refuse() -> Any:
    raise RuntimeError("no token")


@pytest.mark.parametrize(
    ("current_options", "made"),
    [
        (lambda: {**OPTIONS, "host": "tunnel"}, True),
        (lambda: {**OPTIONS, "password": "rotated"}, False),
        (lambda: {**OPTIONS, "user": "other"}, False),
        (refuse, False),
    ],
)
def test_nobody_logs_in_with_what_was_replaced(
    current_options: Callable[[], Any], made: bool
) -> None:
    session = Session(current_options=current_options)
    assert make_as_new(session) is made
    assert (LOGIN in session.done) is made


#: What a server says that does not let an account in: see tests/server/test_reset.py.
REFUSALS = [1044, 1045, 1129, 1130, 1251, 1275, 1524, 1698, 1820, 1862, 1873, 3118]
REFUSALS += [3955, 4150, 4151]


@pytest.mark.parametrize(
    ("code", "again"),
    [*((code, False) for code in REFUSALS), (1040, True), (2013, True)],
)
def test_an_account_that_was_refused_is_tried_again_when_one_was_let_in(
    code: int, again: bool
) -> None:
    with pytest.raises(MySQLdb.OperationalError, match="so be it"):
        make_as_new(Session(refusal=code))
    assert make_as_new(Session(), user="other")
    assert make_as_new(Session(), port=6447)
    assert make_as_new(Session()) is again
    reset.let_in(OPTIONS)
    assert make_as_new(Session())


def test_an_account_that_is_let_in_at_an_address_is_let_in_by_its_name() -> None:
    for host in ("db.example", "127.0.0.2"):
        with pytest.raises(MySQLdb.OperationalError):
            make_as_new(Session(refusal=1045), host=host)
    connection: Any = SimpleNamespace(_options={**OPTIONS, "host": "127.0.0.2"})
    Connection.is_of(connection, "db.example", "127.0.0.2")
    assert make_as_new(Session(), host="db.example")
    assert not make_as_new(Session(), host="127.0.0.2")
    reset.let_in({**OPTIONS, "host": "127.0.0.2"})


def test_an_account_is_told_by_all_that_says_whose_it_is() -> None:
    account = Account.of(OPTIONS)
    assert account is not None
    assert account == Account("127.0.0.1", 6446, None, "shop", "secret")
    assert account.credentials == ("shop", "secret")
    assert "secret" not in repr(account)
    assert Account.of({"user": "shop"}) == Account(None, None, None, "shop", "")
    by_socket = {"user": "shop", "unix_socket": "/run/s", "passwd": "p"}
    assert Account.of(by_socket) == Account(None, None, "/run/s", "shop", "p")
