"""How a session is made what it was at connect, and when it is closed instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import MySQLdb

from .errors import error_code

if TYPE_CHECKING:
    from .connection import Connection

#: The server does not take these credentials, or not any more: the password or the
#: privileges have changed, or the account is locked, expired or blocked.
#: https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
#: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
ACCESS_DENIED = frozenset(
    {1044, 1045, 1129, 1130, 1251, 1275, 1524, 1698, 1820, 1862, 1873, 3118, 3955}
    | {4150, 4151}
)


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """Whom a server lets in."""

    host: str | None
    port: int | None
    unix_socket: str | None
    user: str
    password: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Account | None:
        """Return whom the driver's *options* name; ``None`` if it is for a file."""
        if "user" not in options or options.keys() & {
            "read_default_file",
            "read_default_group",
        }:
            return None
        return cls(
            options.get("host"),
            options.get("port"),
            options.get("unix_socket"),
            options["user"],
            options.get("passwd", options.get("password", "")),  # as the driver does
        )

    @property
    def credentials(self) -> tuple[str, str]:
        return self.user, self.password


#: How MySQL Router ends the version that it tells its clients. It aborts, and all its
#: connections with it, when it is to pass on a COM_CHANGE_USER whose server is away
#: (9.7.4, ``ChangeUserForwarder::connected()``).
ROUTER = "-router"

#: Whether the account has a default role, which is the session's then.
IS_DEFAULT_ROLE = """
SELECT COUNT(*) FROM information_schema.APPLICABLE_ROLES WHERE IS_DEFAULT = 'YES'
"""

#: Accounts that a server has refused since it last let anybody in with them.
_refused: set[Account] = set()


def let_in(options: Mapping[str, Any]) -> None:
    """Note that a server has just let somebody in with *options*."""
    account = Account.of(options)
    if account is not None:
        _refused.discard(account)


def make_as_new(
    connection: Connection, options: Mapping[str, Any], autocommit: bool
) -> bool:
    """Make the session what it was when it was opened with *options*.

    Returns ``False`` if that cannot be done, or not for certain. Raises the driver's
    errors.
    """
    account = Account.of(options)
    if account is None or account in _refused or not _is_current(account, connection):
        return False
    if connection.get_server_info().endswith(ROUTER):
        return False
    # Where both are given, the driver takes the old name's, from OPTIONS, not NAME.
    database: str = options.get("db", options.get("database", ""))
    try:
        # Besides the variables it ends transactions, temporary tables, locks, prepared
        # statements and user variables, and sets the default role. See
        # https://mariadb.com/docs/server/reference/clientserver-protocol/1-connecting/com_change_user
        connection.change_user(account.user, account.password, database)
    except MySQLdb.Error as error:
        if error_code(error) in ACCESS_DENIED:
            _refused.add(account)
        raise
    init_connect, role = _row(connection, "SELECT @@init_connect, CURRENT_ROLE()")
    if init_connect:
        # A login executes it, which change_user does not. To execute it here would be
        # wrong for accounts that the server exempts, by a privilege that they may have
        # got from a role. It can change at any time.
        # https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables#init_connect
        return False
    if role is not None and "MariaDB" in connection.get_server_info():
        # MariaDB (10.11.19) leaves it to an account that has no default role.
        (is_default,) = _row(connection, IS_DEFAULT_ROLE)
        if not is_default:
            _run(connection, "SET ROLE NONE")
    # From here on in the order of a connect.
    if options.get("init_command"):
        _run(connection, options["init_command"])
    # The driver keeps a name and a codec of its own, which change_user leaves.
    character_set = options.get("charset") or connection.character_set_name()
    connection.set_character_set(character_set, options.get("collation"))
    if options.get("sql_mode"):
        connection.set_sql_mode(options["sql_mode"])
    connection.autocommit(autocommit)
    return True


def _is_current(account: Account, connection: Connection) -> bool:
    """Whether the next connection would be opened with the same credentials.

    A password that was rotated would count as a failed login for every session that is
    made as new, and a few of those can block the account. The host may be another one
    than the settings name: a backend's own, of its tunnel.
    """
    if connection.current_options is None:
        return True
    try:
        now = Account.of(connection.current_options())
        return now is not None and now.credentials == account.credentials
    except Exception:  # noqa: BLE001
        # A backend's own code, which fetches a token perhaps. Whoever opens the next
        # connection gets the error; the one who returns this one has no use for it.
        return False


def _row(connection: Connection, question: str) -> Any:
    connection.query(question)
    (row,) = connection.store_result().fetch_row()
    return row


def _run(connection: Connection, statements: str) -> None:
    connection.query(statements)
    connection.store_result()
    while connection.next_result() != -1:
        connection.discard_result()
