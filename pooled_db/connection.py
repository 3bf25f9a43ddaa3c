"""The driver's connection, which knows who may use it."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import MySQLdb
from MySQLdb.connections import Connection as DriverConnection

#: Marks a connection that any thread may use, as Django's thread sharing allows.
ANY_THREAD = None
#: Marks a connection that nobody may use: no thread has this identifier.
NO_THREAD = 0

#: Every open connection of this process, for those who must know after a fork.
connections: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection(DriverConnection):
    """mysqlclient's connection, bound to the thread that has borrowed it.

    A cursor can outlive the loan of its connection, in a thread that goes on after
    its request or in a variable that is kept. It then gets an ``InterfaceError``,
    never somebody else's session.
    """

    if TYPE_CHECKING:

        def fileno(self) -> int: ...
        def get_autocommit(self) -> bool: ...
        def next_result(self) -> int: ...
        def thread_id(self) -> int: ...

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.thread: int | None = ANY_THREAD
        self.in_query = False
        self.after_query: Callable[[], None] | None = None
        super().__init__(*args, **kwargs)
        #: What Django's backend has learnt of the server on this connection.
        self.server_data: dict[str, Any] | None = None
        #: Whether the session is as Django wants it at connect.
        self.initialised = False
        #: Whether anybody has had it yet.
        self.fresh = True
        #: When the connection is to be replaced, on the monotonic clock.
        self.expires = float("inf")
        self._poll = select.poll()
        self._poll.register(self.fileno(), select.POLLIN)
        connections.add(self)

    def query(self, query: bytes | bytearray | str) -> None:
        self._check_thread()
        self.in_query = True
        try:
            # Again, now that the flag is up: revoke() takes the thread away before it
            # looks at the flag, so one of the two sees the other.
            self._check_thread()
            super().query(query)
        finally:
            self.in_query = False
            if self.after_query is not None:
                after_query, self.after_query = self.after_query, None
                after_query()

    def commit(self) -> None:
        self._check_thread()
        super().commit()  # type: ignore[no-untyped-call]

    def rollback(self) -> None:
        self._check_thread()
        super().rollback()  # type: ignore[no-untyped-call]

    def autocommit(self, on: bool) -> None:
        self._check_thread()
        super().autocommit(on)

    def lend(self, thread: int | None) -> None:
        """Let *thread* use the connection from now on."""
        self.thread = thread

    def revoke(self, after_query: Callable[[], None]) -> bool:
        """Let nobody use the connection any more.

        Returns whether no thread is inside a statement. If one is, it calls
        *after_query* when it comes out.
        """
        self.thread = NO_THREAD
        if self.in_query:
            self.after_query = after_query
            return not self.in_query
        return True

    def is_drained(self) -> bool:
        """Whether no result is left to be read."""
        try:
            # Without pending results this asks nothing of the server.
            return self.next_result() == -1
        except MySQLdb.Error:
            return False

    def is_alive(self) -> bool:
        """Whether the server still holds its end of the idle connection.

        What can be read from an idle connection is either its end or something that
        the next user must not get. Seeing it takes no round trip.
        """
        return not self._poll.poll(0)

    def abandon(self, null: int) -> None:
        """Let go of the socket in a forked child: the parent goes on using it.

        *null* is an open descriptor of /dev/null.
        """
        self.thread = NO_THREAD
        with contextlib.suppress(MySQLdb.Error, OSError):
            os.dup2(null, self.fileno(), inheritable=False)

    def _check_thread(self) -> None:
        if self.thread is not ANY_THREAD and self.thread != threading.get_ident():
            raise MySQLdb.InterfaceError(
                0, "This connection has been given back to its pool."
            )
