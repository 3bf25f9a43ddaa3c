"""The driver's connection, which knows what its users leave behind."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

import MySQLdb

from . import DriverConnection, reset
from .as_opened import DECODERS, AsOpened
from .errors import (
    OUT_OF_STEP,
    PACKET_TOO_LARGE,
    TLS_ERROR,
    broke_within_handshake,
    error_code,
    has_no_room,
    mark_pooled,
    outage_in,
)
from .guarded import NO_MORE_RESULTS, GuardedConnection
from .last_statement import LastStatement
from .packets import name_too_large
from .readable import Readable
from .statements import may_change_session, outlasts_reset
from .use import NOBODYS, Use

#: The isolation level of a session that Django has not set up yet.
NOT_SET_UP = object()

#: Errors after which the connection is not lent again, besides those of an outage. It
#: was closed over a packet that was too large; or the statement was killed or timed
#: out, and a KILL that came late may hit the next one; or the server lets nobody write,
#: as a primary after a fail-over; or the session has lost its storage engine, after an
#: XA PREPARE that no statement has shown.
RETIRING = frozenset({TLS_ERROR, *PACKET_TOO_LARGE, 1317, 1969, 3024, 1792, 1031})

#: Every open connection of this process, for those who must know after a fork.
connections: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection(GuardedConnection):
    """The driver's connection, which knows what its users leave in the session."""

    if TYPE_CHECKING:

        def fileno(self) -> int: ...
        def thread_id(self) -> int: ...
        def get_server_info(self) -> str: ...
        def insert_id(self) -> int: ...
        def field_count(self) -> int: ...
        def character_set_name(self) -> str: ...
        def string_literal(self, text: bytes) -> Any: ...
        def discard_result(self) -> None: ...

    #: The server's number for it.
    _id: int | None = None
    #: Whose pool it is of.
    alias: str = "unknown"
    #: Where it leads, by what opened it.
    destination: Any = None
    #: What it is closed for, once that is known.
    closed_for: str | None = None
    #: What watches it, if it was opened by something that does: its users get that.
    proxy: Any = None
    #: Whether a proxy has answered on it that its server has no room.
    met_no_room: bool = False
    #: Whether a user has changed how the driver converts values.
    converts_otherwise: bool
    #: Returns the options with which a connection would be opened now.
    current_options: Callable[[], Mapping[str, Any]] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Whether its next user may have it as it is.
        self.is_clean: bool = True
        self._as_opened = AsOpened()
        self._options = kwargs
        try:
            super().__init__(*args, **kwargs)
        except BaseException as error:
            # The driver connects first and sets the session up then. If that fails, the
            # connection would stay open for as long as somebody keeps the traceback.
            self.close()
            if broke_within_handshake(error, kwargs):
                text = "Lost connection to server during the TLS handshake"
                raise MySQLdb.OperationalError(2013, text) from error
            raise
        self._id = self.thread_id()
        reset.let_in(kwargs)
        #: What Django's backend has learnt of the server on this connection.
        self.server_data: dict[str, Any] | None = None
        #: The isolation level for which Django has set up the session.
        self.isolation_level: object = NOT_SET_UP
        #: Whether anybody has had it yet.
        self.fresh: bool = True
        #: In which thread it was opened.
        self.opened_by: int = 0
        #: When the connection is to be replaced, on the monotonic clock.
        self.expires: float = float("inf")
        #: Whether it leads to an address that was not there, or had failed, before.
        self.is_at_new_address: bool = False
        #: At which of several addresses of its host it was opened.
        self.address: str | None = None
        #: Which node of several it leads to, if that was asked.
        self.node: object = None
        #: Whether it is to be closed for a moment, in case that others want the room.
        self.makes_room: bool = False
        #: Since when nobody has had it, on the same clock.
        self.idle_since: float = 0.0
        self._descriptor = self.fileno()
        self._inode = os.fstat(self._descriptor).st_ino
        self._readable = Readable(self._descriptor)
        self.is_opened()
        connections.add(self)

    def __repr__(self) -> str:
        # The driver's own names the host.
        return f"<Connection {self._id}: {'open' if self.open else 'closed'}>"

    def is_opened(self) -> None:
        """Note how it is: what has opened it has set what it wants by now."""
        self._as_opened.note(self)

    def lent_for(self, loan: Use) -> None:
        """Forget what its last user had, and obey *loan* from now on."""
        self._cursors = []
        self._last = None
        self.after_rest = None
        as_opened = self._as_opened
        self.cursorclass = as_opened.cursorclass
        if (
            self.converts_otherwise
            or self.encoders is not as_opened.encoders
            or getattr(self, DECODERS) is not as_opened.decoders
        ):
            as_opened.put_tables_back(self)
        self.loan = loan

    @property
    def connection_id(self) -> int | None:
        """The server's number for it, also after it was closed."""
        return self._id

    def _look_at(self, query: bytes | bytearray | str) -> None:
        statement = (
            query.encode(errors="surrogateescape") if isinstance(query, str) else query
        )
        if not self.is_dirty and may_change_session(
            statement, self._backslash_escapes, self.character_set_name
        ):
            self._make_dirty(statement)
        if self.is_dirty and outlasts_reset(statement):
            self.is_doubtful = True
        if self._last is not None:
            self._refuse_to_lie(self._last, statement)

    def _refuse_to_lie(self, last: LastStatement, statement: bytes | bytearray) -> None:
        words = last.asks_for_lost(statement, self.insert_id(), self._backslash_escapes)
        if words is not None:
            raise MySQLdb.ProgrammingError(
                0,
                f"{words} asks for what an earlier statement has left in its "
                "connection, which others have used since. Keep the two statements in "
                "one transaction.",
            )

    def forget_last_statement(self) -> None:
        """Let nobody ask what the last statement left: it is another user's."""
        self._last = LastStatement()

    def _has_answer(self) -> bool:
        # Raw query() and begin() leave nothing to be read where there are no rows.
        if not self._is_sent and self.open and not self.field_count():
            self._unread = False
        return self._unread

    def _judge(self, error: BaseException, size: int = 0) -> None:
        """Draw the consequences of *error*, of a statement of *size* bytes."""
        if not isinstance(error, MySQLdb.Error):
            # It came from elsewhere, between a statement's first byte and its last row:
            # the answer may be on its way, or in the client library, where `poll` does
            # not see it.
            self.is_doubtful = self.is_out_of_step = True
            return
        self._unread = False
        code = error_code(error)
        if code in RETIRING or code == OUT_OF_STEP or outage_in(error) is not None:
            self.is_doubtful = True
            self.met_no_room |= has_no_room(error)
            self.is_out_of_step |= code == OUT_OF_STEP
        name_too_large(error, size, self._options)
        if outage_in(error) is not None:
            self.closed_for = "dead"
        mark_pooled(error, self.alias)

    def close(self) -> None:
        self.proxy = None  # the two have kept each other
        # The pool closes what its user has closed already, and must not mind. Of two
        # threads only one may: the driver would free its memory twice.
        here = get_ident()
        if self.open and self.__dict__.setdefault("_closer", here) == here:
            super().close()  # type: ignore[no-untyped-call]

    def is_of(self, name: str, address: str) -> None:
        """Note that it was opened at *address*, one of those of the host *name*."""
        self.address = address
        self._options = {**self._options, "host": name}
        reset.let_in(self._options)

    def select_db(self, db: str) -> None:
        self._make_dirty(b"select_db()")
        self._run(super().select_db, db)

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        self._make_dirty(b"set_character_set()")
        self._run(super().set_character_set, charset, collation)

    def set_server_option(self, option: int) -> None:
        self._run(super().set_server_option, option)
        self.is_doubtful = True  # a reset leaves it as it is

    def change_user(self, *args: Any, **kwargs: Any) -> None:
        self._make_dirty(b"change_user()")
        self.isolation_level = NOT_SET_UP
        login = partial(super().change_user, *args, **kwargs)
        self._run(login if self._has_socket() else _server_is_gone)

    def reset_session(self, autocommit: bool) -> bool:
        """Make the session what it was at connect, at the cost of a few round trips.

        Returns ``False`` if that cannot be done: the account is not known or not the
        present one, a login would do more, or the server did not do it. Transactions
        are rolled back.
        """
        self._as_opened.put_tables_back(self)  # answers are read on the way
        try:
            if not reset.make_as_new(self, self._options, autocommit):
                return False
        except MySQLdb.Error:
            return False
        self.is_dirty = False
        self._as_opened.remove_marks(self)
        return True

    def is_drained(self) -> bool:
        """Whether no result is left to be read."""
        if self._is_sent:
            return False
        if not (self.is_dirty or self._unbuffered or self._unread):
            # Each statement was a single one, and its rows have been stored. Asking the
            # driver would let go of the interpreter, which others may want.
            return True
        try:
            # Without pending results this asks nothing of the server.
            more: int = DriverConnection.next_result(self)
        except MySQLdb.Error:
            return False
        self._unbuffered = self._unread = False
        return more == NO_MORE_RESULTS

    def is_alive(self) -> bool:
        """Whether the server still holds its end of the idle connection.

        What can be read from an idle connection is either its end or something that
        the next user must not get. Seeing it takes no round trip.
        """
        # A driver that has lost its server closes the socket by itself, and somebody
        # else's may have got the same number since. MariaDB Connector/C goes on naming
        # that, but its error has made the connection doubtful.
        try:
            return self.fileno() == self._descriptor and not self._readable.now()
        except MySQLdb.Error:
            return False  # it is closed

    def _has_socket(self) -> bool:
        """Whether the driver has not closed the socket with which it has connected."""
        try:
            return os.fstat(self._descriptor).st_ino == self._inode
        except OSError:
            return False

    def answers(self, within: float) -> bool:
        """Whether the server answers a statement *within* that many seconds.

        It takes a round trip. The driver's own ``ping`` would wait for ever.
        """
        try:
            DriverConnection.send_query(self, b"DO 0")
            if not self._readable.within(within):
                return False
            DriverConnection.read_query_result(self)
        except MySQLdb.Error:
            return False
        return True

    def abandon(self, null: int) -> None:
        """Let go of the socket in a forked child: the parent goes on using it.

        *null* is an open descriptor of /dev/null.
        """
        self.loan = NOBODYS
        self.slot = None
        with contextlib.suppress(MySQLdb.Error, OSError):
            os.dup2(null, self.fileno(), inheritable=False)

    def _backslash_escapes(self) -> bool:
        # The driver knows from the server whether sql_mode has NO_BACKSLASH_ESCAPES.
        return bool(self.string_literal(b"'") != b"''''")


def _server_is_gone() -> None:
    """Say so in place of MariaDB Connector/C (3.3.20), whose ``mysql_change_user()``
    damages the heap if it has closed the socket: the process aborts some time later.
    """
    raise MySQLdb.OperationalError(2006, "Server has gone away")
