"""Which errors of the driver are about having a connection, over TLS too."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import MySQLdb

from ..exceptions import Reason


@dataclass(frozen=True, slots=True)
class Sign:
    """An error by which a server, or a proxy for it, says that it cannot serve now."""

    code: int
    #: What has happened, if it comes while connecting; ``None`` if that is no outage.
    connecting: str | None
    #: What has happened, if it is the answer to a statement.
    in_statement: str
    #: Of a statement: whether the connection was there, and may have done something.
    lost: bool = False
    #: What its text says, where the number alone is not certain. Names of options and
    #: variables are the same in all languages of the server.
    text: str | None = None

    def is_meant(self, text: str) -> bool:
        return self.text is None or re.search(self.text, text) is not None

    @property
    def reason(self) -> Reason:
        """Why a statement that ends in it has no database."""
        return Reason.CONNECTION_LOST if self.lost else Reason.UNAVAILABLE


_NO_ANSWER = "the server does not answer"
_BROKE = "the connection broke while connecting"
_FULL = "the server has too many connections"
_NOT_READY = "the node is not ready, or in a minority of the cluster"
_READ_ONLY = "the server is read-only"
_SHUTTING_DOWN = "the server is shutting down"
_OFFLINE = "the server is in offline mode"
_NOT_THERE = "the server is not available"
_NO_THREAD = "the server cannot start a thread for another connection"
_BLOCKED = "the server has blocked this host after failed connects"
_NO_BACKEND = "the proxy reaches no server"

#: Proxies connect to their server when there is a statement for it, and pass on as its
#: answer what the server, or their own client library, says of the connect.
#: https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
#: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
#: https://github.com/sysown/proxysql/blob/v2.7.1/lib/MySQL_Session.cpp
#: https://github.com/mariadb-corporation/MaxScale/blob/24.02/server/modules/protocol/MariaDB/mariadb_client.cc
SIGNS = (
    # ProxySQL says with 1040, too, that its administrator "can only connect locally".
    Sign(1040, _FULL, _FULL, text="^(?!.*can only connect locally)"),
    # Galera's, and an unknown command's without the text.
    Sign(1047, _NOT_READY, _NOT_READY, text="WSREP"),
    Sign(1053, _SHUTTING_DOWN, _SHUTTING_DOWN, lost=True),
    Sign(1129, _BLOCKED, _BLOCKED),
    Sign(1135, _NO_THREAD, _NO_THREAD),
    Sign(
        1159,
        "the server has waited for too long to be logged in to",
        "the server has waited for too long for the rest of a statement",
        lost=True,
    ),
    # Galera's status: it has lost the cluster, or failed, for good or not, or does not
    # allow it now. Other numbers there are errors of the statement.
    # https://github.com/codership/wsrep-lib/blob/master/include/wsrep/provider.hpp
    Sign(
        1180,
        None,
        "the node left the cluster during a commit",
        lost=True,
        text=r"\b(?:6|7|8|10)\b.* during COMMIT"
        r"|provider status: (?:Not connected|Provider in bad|Fatal|Operation not)",
    ),
    Sign(
        1203, "the user has too many connections", "the user has too many connections"
    ),
    Sign(
        1226,
        "the user has reached a limit of the account",
        "the user has too many connections",
        text="max_user_connections",
    ),
    # The same number says what --secure-file-priv or --skip-grant-tables forbids.
    Sign(1290, _READ_ONLY, _READ_ONLY, text=r"read[-_]only"),
    Sign(1836, _READ_ONLY, _READ_ONLY),
    Sign(1927, None, "the connection was killed", lost=True),
    Sign(2002, _NO_ANSWER, _NO_ANSWER),
    Sign(2003, _NO_ANSWER, _NO_ANSWER),
    Sign(
        2005, "the name of the server is unknown", "the name of the server is unknown"
    ),
    Sign(
        2006,
        "the server went away while connecting",
        "the server has gone away",
        lost=True,
    ),
    Sign(2013, _BROKE, "the connection broke during a query", lost=True),
    # What MariaDB Connector/C makes of an error whose number is a client's own, such as
    # 2003 or 2013, if it is sent by a proxy.
    Sign(2027, _NO_ANSWER, "the connection broke during a query", lost=True),
    Sign(2055, None, "the connection broke during a query", lost=True),
    Sign(3032, _OFFLINE, _OFFLINE),
    # Group Replication's, of a member that leaves or hands over. Other hooks object to
    # the statement.
    Sign(
        3100,
        None,
        "the node left the cluster during a commit",
        lost=True,
        text="before_commit",
    ),
    Sign(3168, _NOT_THERE, _NOT_THERE),
    Sign(4031, None, "the server closed the idle connection", lost=True),
    Sign(4094, None, "the group is electing a primary", text="group_replication"),
    Sign(5014, _BROKE, "the connection broke during a query", lost=True),
    # ProxySQL's own. Its 9005 and 9006 are about the statement.
    Sign(9001, _NO_BACKEND, _NO_BACKEND, text="hostgroup"),
    Sign(9002, _NO_BACKEND, _NO_BACKEND, text="hostgroup"),
)
_SIGNS: Mapping[int | None, Sign] = {sign.code: sign for sign in SIGNS}
#: Of these the text matters in a statement only.
_CONNECTING_IN_ANY_CASE = frozenset({1226})


#: What one node of several says of itself: another may serve.
_OF_A_NODE = frozenset({1047, 1053, 1290, 1836, 3032, 3168})


_EVERYWHERE = "pooled_everywhere"


def mark_tried_everywhere(error: BaseException) -> None:
    """Note that *error* is the last of all addresses that there are."""
    error.__dict__[_EVERYWHERE] = True


def is_about_a_node(error: BaseException) -> bool:
    """Whether *error*, of a connect, is what one node says of itself, but not all."""
    if _EVERYWHERE in error.__dict__:
        return False
    return isinstance(error, UnfitNode) or (
        error_code(error) in _OF_A_NODE and why_not_connected(error) is not None
    )


class UnfitNode(MySQLdb.OperationalError):
    """The server let the pool in, and did not pass its check."""

    why = "the node did not pass check_on_connect"


def why_not_connected(error: BaseException) -> str | None:
    """What has happened if *error*, of a connect, is an outage."""
    if isinstance(error, UnfitNode):
        return error.why
    sign = _SIGNS.get(error_code(error))
    if sign is None:
        return None
    if sign.code in _CONNECTING_IN_ANY_CASE or sign.is_meant(str(error.args[-1])):
        return sign.connecting
    return None


def outage_in(error: BaseException) -> Sign | None:
    """Return what *error*, of a statement, is a sign of, if it is one of an outage."""
    sign = _SIGNS.get(error_code(error))
    if sign is None:
        return None
    return sign if sign.is_meant(str(error.args[-1])) else None


#: A statement or a row is larger than ``max_allowed_packet``: as the server and as the
#: client library say it. The connection is closed then, and trying again is in vain.
PACKET_TOO_LARGE = (1153, 2020)

#: The driver's number for every failure of an encrypted connection, lasting or not.
TLS_ERROR = 2026

#: The error of commands that are out of step: an answer has not been read.
OUT_OF_STEP = 2014


def out_of_step() -> MySQLdb.ProgrammingError:
    """Return that error, in the client library's words."""
    text = "Commands out of sync; you can't run this command now"
    return MySQLdb.ProgrammingError(OUT_OF_STEP, text)


#: How MariaDB Connector/C passes on what a server says in place of a TLS handshake.
_BEFORE_TLS = re.compile(r"before completion of TLS handshake.*?: (\d+) - ").search
_NETWORK_ERRORS = (
    errno.EPIPE,
    errno.EAGAIN,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
)
#: How OpenSSL and the driver, which ends with the errno, say that the peer is gone.
#: What they say of certificates, keys and versions must not match: it does not pass.
#: The "wrong version number" is none. The server offers TLS before anybody asks for it,
#: and has then waited for too long, and says so (error 1159) without TLS.
#: Oracle's library, which adds no errno, has nothing to tell then: "error:00000000".
_TLS_BROKE = re.compile(
    r"unexpected eof|shutdown while in init|wrong version number|error:0{8}:lib\(0\)"
    rf"|\((?:{'|'.join(map(str, _NETWORK_ERRORS))})\)$"
).search

#: What MariaDB Connector/C makes of every error while it asks for the key with which it
#: encrypts a password without TLS. MySQL makes that key itself when it starts.
AUTHENTICATION_ERROR = 2061
_NO_KEY = "Couldn't read RSA public key from server"

#: What OpenSSL says of a certificate if nobody has told it whom to trust.
_NOT_TRUSTED = re.compile(
    r"self[- ]signed certificate|certificate has expired|certificate is not yet valid"
    r"|unable to (?:get local issuer|verify the first) certificate"
).search


def broke_within_handshake(error: BaseException, options: Mapping[str, Any]) -> bool:
    """Whether *error* blames a certificate that these *options* do not have verified.

    MariaDB Connector/C 3.3 gives the certificate as the reason for every handshake that
    fails once it has come, of a cut line too. See ``ma_tls_connect()`` in
    https://github.com/mariadb-corporation/mariadb-connector-c/blob/3.3/libmariadb/secure/openssl.c
    """
    if not isinstance(error, MySQLdb.OperationalError) or (
        error_code(error) != TLS_ERROR or not _NOT_TRUSTED(str(error.args[-1]))
    ):
        return False
    ssl = options.get("ssl") or {}
    return not (
        ssl.get("ca")
        or ssl.get("capath")
        or str(options.get("ssl_mode")).startswith("VERIFY")
        # The file may ask for it.
        or options.get("read_default_file")
        or options.get("read_default_group")
    )


def error_code(error: BaseException) -> int | None:
    """Return the MySQL error number that *error* carries, if it carries one.

    It is the same one over TLS, for which the driver has numbers of its own.
    """
    code = error.args[0] if error.args else None
    if not isinstance(code, int):
        return None
    if repr(error.args).endswith("<NULL>)"):
        # mysqlclient (2.3) decodes each text as UTF-8, also that of a connection with
        # another character set. If that fails, the process crashes as soon as anybody
        # touches the text.
        error.args = code, "The driver cannot read the text: it is not in UTF-8"
    text = str(error.args[-1])
    if code == 2002 and (said := _BEFORE_TLS(text)):
        return int(said[1])
    if code == AUTHENTICATION_ERROR and text == _NO_KEY:
        return 2013
    return 2013 if code == TLS_ERROR and _TLS_BROKE(text) else code


#: Which limit of an account has been reached: one of connections, or of an hour.
_USER_LIMIT = 1226
#: There is no room for another connection, as long as nobody closes one.
_NO_ROOM = frozenset({1040, 1203, _USER_LIMIT})


def has_no_room(error: BaseException) -> bool:
    """Whether the server grants no more connections than there are."""
    code = error_code(error)
    if code == _USER_LIMIT:
        return "max_user_connections" in str(error.args[-1])
    return code in _NO_ROOM


_MARK = "pooled_alias"


def mark_pooled(error: BaseException, alias: str) -> None:
    """Note that *error* came out of a connection of the pool of *alias*."""
    error.__dict__[_MARK] = alias


def pooled_alias(error: BaseException) -> str | None:
    """Of whose pool's connection *error* came, if it came out of a pooled one."""
    return error.__dict__.get(_MARK)
