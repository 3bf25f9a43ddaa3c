"""What can go wrong, in the reader's words."""

from __future__ import annotations

import enum
import threading
from typing import NamedTuple

import MySQLdb
from django.db.utils import OperationalError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError


class Reason(str, enum.Enum):
    """Why a request cannot have its database now."""

    TIMEOUT = "timeout"
    QUEUE_FULL = "queue_full"
    OVERLOADED = "overloaded"
    STALLED = "stalled"
    UNAVAILABLE = "unavailable"
    CONNECTION_LOST = "connection_lost"

    __str__ = str.__str__


_EXPLANATIONS = {
    Reason.TIMEOUT: "No connection to {alias!r} became free within {waited:.2f} s",
    Reason.QUEUE_FULL: "The queue for a connection to {alias!r} is full",
    Reason.OVERLOADED: (
        "{alias!r} is overloaded: given up after {waited:.2f} s in the queue"
    ),
    Reason.STALLED: (
        "All connections to {alias!r} are held by threads that wait for another one, "
        "so that none would ever come back"
    ),
}


class Holder(NamedTuple):
    """Who held a connection at the moment of a refusal. Times are in seconds.

    It is put into words when somebody reads it: refusals come by thousands.
    """

    who: str
    held: float
    rested: float | None
    thread: int | None

    def __str__(self) -> str:
        state = "at work" if self.rested is None else f"at rest for {self.rested:.1f} s"
        names = [
            f", by thread {thread.name!r}"
            for thread in threading.enumerate()
            if thread.ident == self.thread
        ]
        return f"{self.who} for {self.held:.1f} s, {state}{''.join(names)}"


class PoolTimeout(SQLAlchemyTimeoutError, OperationalError):
    """No connection became free in time.

    It is SQLAlchemy's ``TimeoutError`` and Django's ``OperationalError``, so that a
    handler of either catches it. ``reason`` says why, and ``waited`` after how many
    seconds. At that moment ``in_use`` of ``limit`` connections to ``alias`` were lent
    and ``waiting`` others stood in line. ``own`` says what the same request or thread
    holds already, ``holders`` who of the others has held a connection for longest.
    """

    def __init__(
        self,
        alias: str,
        reason: Reason,
        waited: float,
        in_use: int,
        limit: int,
        waiting: int,
        own: tuple[Holder, ...] = (),
        holders: tuple[Holder, ...] = (),
    ) -> None:
        super().__init__(alias, reason, waited, in_use, limit, waiting, own, holders)
        self.alias = alias
        self.reason = reason
        self.waited = waited
        self.in_use = in_use
        self.limit = limit
        self.waiting = waiting
        self.own = own
        self.holders = holders

    def __str__(self) -> str:
        explanation = _EXPLANATIONS[self.reason].format(
            alias=self.alias, waited=self.waited
        )
        numbers = f"{self.in_use} of {self.limit} in use, {self.waiting} waiting"
        sentences = [f"{explanation} ({numbers})."]
        if self.own:
            sentences.append(
                f"Whoever asked holds {len(self.own)} of them already: "
                f"{'; '.join(map(str, self.own))}."
            )
        if self.holders:
            sentences.append(f"Held for longest: {'; '.join(map(str, self.holders))}.")
        sentences.append(
            "Do not ask for a second connection inside an atomic block, or raise "
            "pool_size."
            if self.reason is Reason.STALLED
            else "Look for slow queries and for slow calls made while a connection is "
            "held (pooled_db.release()) before you raise pool_size."
        )
        return " ".join(sentences)

    def __reduce__(self) -> tuple[type[PoolTimeout], tuple[object, ...]]:
        return type(self), self.args


class ServerUnavailable(MySQLdb.OperationalError):
    """The server could not be reached, or refused the connection.

    It is the driver's ``OperationalError`` with the driver's arguments, so Django
    turns it into its own ``OperationalError`` as it does without a pool.
    """

    #: Whose server it is.
    alias: str = "unknown"
    #: What has happened, in words that name nobody.
    why: str = "it cannot be reached"
