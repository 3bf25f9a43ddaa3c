"""What can go wrong, in the reader's words."""

from __future__ import annotations

import enum

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
