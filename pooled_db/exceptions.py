"""What can go wrong, in the reader's words."""

from __future__ import annotations

import enum
import errno
import re
from collections.abc import Iterator, Mapping
from typing import Any

import MySQLdb
from django.db.utils import OperationalError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError


class Reason(str, enum.Enum):
    """Why a request cannot have its database now."""

    TIMEOUT = "timeout"
    QUEUE_FULL = "queue_full"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    CONNECTION_LOST = "connection_lost"

    __str__ = str.__str__


_EXPLANATIONS = {
    Reason.TIMEOUT: "No connection to {alias!r} became free within {waited:.2f} s",
    Reason.QUEUE_FULL: "The queue for a connection to {alias!r} is full",
    Reason.OVERLOADED: (
        "{alias!r} is overloaded: given up after {waited:.2f} s in the queue"
    ),
}


class PoolTimeout(SQLAlchemyTimeoutError, OperationalError):
    """No connection became free in time.

    It is SQLAlchemy's ``TimeoutError`` and Django's ``OperationalError``, so that a
    handler of either catches it. Times are in seconds.
    """

    def __init__(
        self,
        alias: str,
        reason: Reason,
        waited: float,
        in_use: int,
        limit: int,
        waiting: int,
    ) -> None:
        super().__init__(alias, reason, waited, in_use, limit, waiting)
        self.alias = alias
        self.reason = reason
        self.waited = waited
        self.in_use = in_use
        self.limit = limit
        self.waiting = waiting

    def __str__(self) -> str:
        explanation = _EXPLANATIONS[self.reason].format(
            alias=self.alias, waited=self.waited
        )
        return (
            f"{explanation} ({self.in_use} of {self.limit} in use, "
            f"{self.waiting} waiting). Look for slow queries and for slow calls made "
            "while a connection is held (pooled_db.release()) before you raise "
            "pool_size."
        )

    def __reduce__(self) -> tuple[type[PoolTimeout], tuple[object, ...]]:
        return type(self), self.args


class ServerUnavailable(MySQLdb.OperationalError):
    """The server could not be reached, or refused the connection.

    It is the driver's ``OperationalError`` with the driver's arguments, so Django
    turns it into its own ``OperationalError`` as it does without a pool.
    """

    #: Whose server it is.
    alias = "unknown"


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


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go through what *error* came from, and what a group of errors holds."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        hides_context = link.__cause__ is not None or link.__suppress_context__
        links.append(link.__cause__ if hides_context else link.__context__)
        members = getattr(link, "exceptions", ())  # ExceptionGroup, from Python 3.11
        if isinstance(members, tuple):
            links.extend(m for m in members if isinstance(m, BaseException))


def diagnose(error: BaseException) -> tuple[Reason, BaseException] | None:
    """Say why *error* means that the database cannot be used now.

    Returns the reason and the link of the exception's chain that shows it, or
    ``None`` for every error that is not about having a connection.
    """
    for link in _chain(error):
        if isinstance(link, PoolTimeout):
            return link.reason, link
        if isinstance(link, ServerUnavailable):
            return Reason.UNAVAILABLE, link
        if (
            isinstance(link, MySQLdb.OperationalError)
            and error_code(link) in CONNECTION_LOST
        ):
            return Reason.CONNECTION_LOST, link
    return None
