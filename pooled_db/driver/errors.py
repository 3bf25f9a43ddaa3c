"""Which errors of the driver are about having a connection, over TLS too."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Any

import MySQLdb

#: The connection could not be made, for a reason that passes.
#: https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
CANNOT_CONNECT = {
    1040: "the server has too many connections",
    1053: "the server is shutting down",
    1159: "the server has waited for too long to be logged in to",
    1203: "the user has too many connections",
    1226: "the user has reached a limit of the account",
    2002: "the server does not answer",
    2003: "the server does not answer",
    2005: "the name of the server is unknown",
    2006: "the server went away while connecting",
    2013: "the connection broke while connecting",
    5014: "the connection broke while connecting",
}

#: The connection was open and is gone.
CONNECTION_LOST = {
    1053: "the server is shutting down",
    1159: "the server has waited for too long for the rest of a statement",
    1927: "the connection was killed",
    2006: "the server has gone away",
    2013: "the connection broke during a query",
    2055: "the connection broke during a query",
    4031: "the server closed the idle connection",
}

#: A statement or a row is larger than ``max_allowed_packet``: as the server and as the
#: client library say it. The connection is closed then, and trying again is in vain.
PACKET_TOO_LARGE = (1153, 2020)

#: The driver's number for every failure of an encrypted connection, lasting or not.
TLS_ERROR = 2026

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
_TLS_BROKE = re.compile(
    r"unexpected eof|shutdown while in init|wrong version number"
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
