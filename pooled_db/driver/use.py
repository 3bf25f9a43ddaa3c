"""Who may use a connection."""

from __future__ import annotations

from collections.abc import Sized
from typing import Protocol

import MySQLdb

#: Marks a connection that any thread may use, as Django's thread sharing allows.
ANY_THREAD = None
#: Marks a connection that nobody may use: no thread has this identifier.
NO_THREAD = 0


class Use(Protocol):
    """The right to use a connection: its loan, as the connection knows it."""

    @property
    def user(self) -> int | None:
        """The thread that may make statements."""

    @property
    def pins(self) -> set[int]:
        """Threads that are just about to use it."""

    @property
    def line(self) -> Sized:
        """Who waits for it to rest."""

    def unpin(self, thread: int) -> None:
        """Let others have it again."""

    def take_turn(self, thread: int) -> None:
        """Make *thread* the user, or raise MySQLdb.InterfaceError."""


def given_back() -> MySQLdb.InterfaceError:
    """Return the error of whoever goes on using what is not theirs any more."""
    return MySQLdb.InterfaceError(0, "This connection has been given back to its pool.")


class OwnUse:
    """The use of a connection that is not lent."""

    line = ()

    def __init__(self, user: int | None) -> None:
        self.user = user
        self.pins: set[int] = set()

    def unpin(self, thread: int) -> None:
        self.pins.discard(thread)

    def take_turn(self, thread: int) -> None:
        raise given_back()


NOBODYS: Use = OwnUse(NO_THREAD)
ANYBODYS: Use = OwnUse(ANY_THREAD)
