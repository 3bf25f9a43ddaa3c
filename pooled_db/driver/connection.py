"""The driver's connection, which knows who may use it and what it left behind."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import MySQLdb

from . import DriverConnection
from .cursor import taking_turns
from .errors import (
    CONNECTION_LOST,
    PACKET_TOO_LARGE,
    TLS_ERROR,
    broke_within_handshake,
    error_code,
    mark_pooled,
)
from .last_statement import LastStatement
from .packets import name_too_large
from .readable import Readable
from .statements import may_change_session, outlasts_reset
from .unbuffered import Unbuffered
from .use import ANY_THREAD, ANYBODYS, NOBODYS, Use

#: The isolation level of a session that Django has not set up yet.
NOT_SET_UP = object()

#: Errors after which the connection is not lent again. It is lost; or the server or the
#: client has closed it over a packet that was too large; or the statement was killed or
#: timed out, and a KILL that came late may hit the next one; or the server has become
#: read-only, as a primary does after a fail-over.
RETIRING = frozenset(
    {
        *CONNECTION_LOST,
        TLS_ERROR,
        *PACKET_TOO_LARGE,
        *(1317, 1969, 3024),
        *(1290, 1792, 1836),
    }
)

#: Every open connection of this process, for those who must know after a fork.
connections: weakref.WeakSet[Connection] = weakref.WeakSet()


#: What next_result() returns.
NO_MORE_RESULTS = -1
#: The error of commands that are out of step: an answer has not been read.
OUT_OF_STEP = 2014


class Connection(DriverConnection):
    """The driver's connection, bound to the thread that has borrowed it.

    A cursor can outlive the loan of its connection, in a thread that goes on after
    its request or in a variable that is kept. It then gets an ``InterfaceError``,
    never somebody else's session.

    Every statement passes through :meth:`query`, those of raw driver cursors included.
    """

    if TYPE_CHECKING:

        def fileno(self) -> int: ...
        def get_autocommit(self) -> bool: ...
        def thread_id(self) -> int: ...
        def insert_id(self) -> int: ...
        def character_set_name(self) -> str: ...
        def escape_string(self, text: bytes) -> bytes: ...
        def discard_result(self) -> None: ...
        def read_query_result(self) -> None: ...

    #: The server's number for it.
    _id: int | None = None
    #: Whose pool it is of.
    alias: str = "unknown"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Who may use it: the loan that it is out for.
        self.loan: Use = ANYBODYS
        self._busy: int | None = None
        # Whether a statement has been made whose answer nobody has asked for, and which
        # thread may do so: whoever ends the loan takes that away.
        self._unread = False
        self._reader: int | None = None
        self._unbuffered = False
        # With autocommit off: whether there is something to commit.
        self._uncommitted = False
        self._cursors: list[tuple[weakref.ref[Any], int]] = []
        # Whose the last statement is, if it may be another's.
        self._last: LastStatement | None = None
        #: Called when a statement has ended.
        self.after_rest: Callable[[], None] | None = None
        #: When the last statement ended, on the monotonic clock.
        self.rested: float = 0.0
        #: Whether the session may differ from what it was at connect.
        self.is_dirty: bool = False
        #: Whether nobody can say in what state it is.
        self.is_doubtful: bool = False
        #: Whether an answer is left on the way, so that no statement can be made.
        self.is_out_of_step: bool = False
        #: Whether its next user may have it as it is.
        self.is_clean: bool = True
        #: The autocommit mode in which it is lent.
        self.home_mode: bool = bool(kwargs.get("autocommit", True))
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
        self.is_dirty = self._uncommitted = self._unread = False
        #: What Django's backend has learnt of the server on this connection.
        self.server_data: dict[str, Any] | None = None
        #: The isolation level for which Django has set up the session.
        self.isolation_level: object = NOT_SET_UP
        #: Whether anybody has had it yet.
        self.fresh: bool = True
        #: When the connection is to be replaced, on the monotonic clock.
        self.expires: float = float("inf")
        #: Since when nobody has had it, on the same clock.
        self.idle_since: float = 0.0
        self._descriptor = self.fileno()
        self._readable = Readable(self._descriptor)
        connections.add(self)

    def __repr__(self) -> str:
        # The driver's own names the host.
        return f"<Connection {self._id}: {'open' if self.open else 'closed'}>"

    # Statements.

    def query(self, query: bytes | bytearray | str, **options: Any) -> Any:
        self._begin()
        try:
            self._look_at(query)
            self._uncommitted = self._unread = True
            self._reader = self._busy
            return super().query(query, **options)
        except BaseException as error:
            self._judge(error, len(query))
            raise
        finally:
            self._rest()

    def store_result(self) -> Any:
        # Here the rows are read, which can take longer than the statement itself.
        self._begin_reading()
        try:
            result = super().store_result()  # type: ignore[no-untyped-call]
            self._unread = False
            return result
        except BaseException as error:
            self._judge(error)
            raise
        finally:
            self._rest()

    def use_result(self) -> Any:
        self._begin_reading()
        try:
            self._unbuffered = True
            result = super().use_result()  # type: ignore[no-untyped-call]
            self._unread = False
            return result and Unbuffered(result, self._judge)
        except BaseException as error:
            self._judge(error)
            raise
        finally:
            self._rest()

    def cursor(self, cursorclass: type[Any] | None = None) -> Any:
        """Open a cursor, for which the loan is kept until it is closed."""
        cursor = taking_turns(cast("Hashable", cursorclass or self.cursorclass))(self)
        if self._cursors:
            self._cursors = [entry for entry in self._cursors if _is_open(entry[0])]
        self._cursors.append((weakref.ref(cursor), threading.get_ident()))
        return cursor

    def begin_use(self) -> Use | None:
        """Let nobody else of the request have it until the result is unpinned.

        Waits for this thread's turn. ``None`` if it has been pinned already.
        """
        thread = threading.get_ident()
        while True:
            loan = self.loan
            if thread in loan.pins:
                return None
            loan.pins.add(thread)
            user = loan.user
            if user == thread or user is ANY_THREAD:
                return loan
            loan.unpin(thread)
            loan.take_turn(thread)

    def next_result(self, *args: Any) -> int:
        thread = threading.get_ident()
        user = self.loan.user
        if not self._may_have_more() or (user != thread and user is not ANY_THREAD):
            # Nothing of this thread's is left. The driver would look at the connection,
            # which another thread may be using.
            return NO_MORE_RESULTS
        self._begin()
        try:
            more: int = super().next_result(*args)  # type: ignore[no-untyped-call]
            return more
        except BaseException as error:
            self._judge(error)
            raise
        finally:
            self._rest()

    def _may_have_more(self) -> bool:
        """Whether a result may be left: else each statement was a single one, read."""
        return self.is_dirty or self._unbuffered or self._unread

    def has_open_cursor(self, besides: int | None = None) -> bool:
        """Whether somebody may go on with a cursor, other than thread *besides*."""
        return any(
            thread != besides and _is_open(cursor)
            for cursor, thread in list(self._cursors)
        )

    def _begin(self) -> None:
        """Enter a statement, if it is this thread's turn, or when it is."""
        thread = threading.get_ident()
        while True:
            loan = self.loan
            user = loan.user
            if user == thread or user is ANY_THREAD:
                self._busy = thread
                # Again, now that it is busy: whoever takes the connection away changes
                # the user before it looks whether a statement runs, so one of the two
                # sees the other.
                if self.loan is loan and loan.user is user:
                    return
                self._rest()
            else:
                loan.take_turn(thread)

    def _begin_reading(self) -> None:
        """Go on with a statement, though its loan may have ended meanwhile."""
        thread = threading.get_ident()
        if self._reader == thread:
            self._busy = thread
            if self._reader == thread:  # as in _begin
                return
            self._rest()
        self._begin()

    @property
    def is_being_read(self) -> bool:
        """Whether this thread is between a statement and its answer."""
        return self._unread and self._reader == threading.get_ident()

    def let_go(self) -> bool:
        """Let nobody ask for an answer any more; ``False`` if somebody is inside."""
        busy = self._busy
        if busy is not None and busy != threading.get_ident():
            return False
        self._reader = None
        busy = self._busy
        return busy is None or busy == threading.get_ident()

    def _look_at(self, query: bytes | bytearray | str) -> None:
        statement = (
            query.encode(errors="surrogateescape") if isinstance(query, str) else query
        )
        if not self.is_dirty:
            self.is_dirty = may_change_session(
                statement, self._backslash_escapes, self.character_set_name
            )
        if self.is_dirty and outlasts_reset(statement):
            self.is_doubtful = True
        if self._last is not None:
            self._refuse_to_lie(self._last, statement)

    def _refuse_to_lie(self, last: LastStatement, statement: bytes | bytearray) -> None:
        words = last.asks_for_lost(statement, self.insert_id())
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

    @property
    def in_query(self) -> bool:
        """Whether another thread is inside a statement."""
        return self._busy is not None and self._busy != threading.get_ident()

    @property
    def is_at_rest(self) -> bool:
        """Whether nobody works with it, and it is as its next user may have it."""
        if self._busy is not None or self._unread or self._unbuffered or self.is_dirty:
            return False
        if self._uncommitted and not self.home_mode:
            return False
        try:
            # Asking for the mode costs no round trip.
            return bool(self.get_autocommit()) == self.home_mode
        except MySQLdb.Error:
            return False  # it is closed, or just being used

    @property
    def was_left_unread(self) -> bool:
        """Whether this thread has not read the answer to an earlier statement."""
        return self.is_out_of_step or self.is_being_read

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
        if code in RETIRING or code == OUT_OF_STEP:
            self.is_doubtful = True
            self.is_out_of_step |= code == OUT_OF_STEP
        name_too_large(error, size, self._options)
        mark_pooled(error, self.alias)

    def _rest(self) -> None:
        self.rested = time.monotonic()
        self._busy = None
        if self.after_rest is not None:
            after_rest, self.after_rest = self.after_rest, None
            after_rest()

    def commit(self) -> None:
        self._run(super().commit)
        self._uncommitted = False

    def rollback(self) -> None:
        self._run(super().rollback)
        self._uncommitted = False

    def autocommit(self, on: bool) -> None:
        # Asking for the mode costs no round trip.
        if self.get_autocommit() != on:
            self._run(super().autocommit, on)

    def ping(self, *args: Any) -> None:
        self._run(super().ping, *args)

    def _run(self, function: Callable[..., None], *args: Any) -> None:
        """Call *function*, which speaks with the server without :meth:`query`."""
        self._begin()
        try:
            function(*args)
        except BaseException as error:
            self.is_doubtful = True
            self._judge(error)
            raise
        finally:
            self._rest()

    def send_query(self, query: bytes | str) -> None:
        self._begin()
        try:
            self.is_dirty = True
            super().send_query(query)  # type: ignore[no-untyped-call]
        finally:
            self._rest()

    def close(self) -> None:
        # The pool closes what its user has closed already, and must not mind.
        if self.open:
            super().close()  # type: ignore[no-untyped-call]

    def select_db(self, db: str) -> None:
        self.is_dirty = True
        self._run(super().select_db, db)

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        self.is_dirty = True
        self._run(super().set_character_set, charset, collation)

    def change_user(self, *args: Any, **kwargs: Any) -> None:
        self.is_dirty = True
        self.isolation_level = NOT_SET_UP
        self._run(partial(super().change_user, *args, **kwargs))

    def reset_session(self, autocommit: bool) -> bool:
        """Make the session what it was at connect, at the cost of a few round trips.

        Returns ``False`` if that cannot be done: the account is not known, or the
        server did not do it. Transactions are rolled back.
        """
        options = self._options
        if "user" not in options or {"read_default_file", "read_default_group"} & (
            options.keys()
        ):
            return False
        password = options.get("password", options.get("passwd", ""))
        database = options.get("database", options.get("db", ""))
        try:
            # Besides the variables it ends transactions, temporary tables, locks,
            # prepared statements and user variables. See
            # https://mariadb.com/docs/server/reference/clientserver-protocol/1-connecting/com_change_user
            self.change_user(options["user"], password, database)
            if options.get("collation"):
                self.set_character_set(options["charset"], options["collation"])
            if options.get("sql_mode"):
                self.set_sql_mode(options["sql_mode"])
            if options.get("init_command"):
                self.query(options["init_command"])
                self.store_result()
                while self.next_result() != NO_MORE_RESULTS:
                    self.discard_result()
            self.autocommit(autocommit)
        except MySQLdb.Error:
            return False
        self.is_dirty = False
        return True

    def lent_for(self, loan: Use) -> None:
        """Forget what its last user had, and obey *loan* from now on."""
        self._cursors = []
        self._last = None
        self.after_rest = None
        self.loan = loan

    def is_drained(self) -> bool:
        """Whether no result is left to be read."""
        if not self._may_have_more():
            # Each statement was a single one, and its rows have been stored. Asking the
            # driver would let go of the interpreter, which others may want.
            return True
        try:
            # Without pending results this asks nothing of the server.
            more: int = super().next_result()  # type: ignore[no-untyped-call]
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
        # else's may have got the same number since.
        return (
            self.open != 0
            and self.fileno() == self._descriptor
            and not self._readable.now()
        )

    def answers(self, within: float) -> bool:
        """Whether the server answers a statement *within* that many seconds.

        It takes a round trip. The driver's own ``ping`` would wait for ever.
        """
        try:
            super().send_query(b"DO 0")  # type: ignore[no-untyped-call]
            if not self._readable.within(within):
                return False
            self.read_query_result()
        except MySQLdb.Error:
            return False
        return True

    def abandon(self, null: int) -> None:
        """Let go of the socket in a forked child: the parent goes on using it.

        *null* is an open descriptor of /dev/null.
        """
        self.loan = NOBODYS
        with contextlib.suppress(MySQLdb.Error, OSError):
            os.dup2(null, self.fileno(), inheritable=False)

    def _backslash_escapes(self) -> bool:
        # The driver knows from the server whether sql_mode has NO_BACKSLASH_ESCAPES.
        return bool(self.escape_string(b"'") != b"''")


def _is_open(cursor: weakref.ref[Any]) -> bool:
    opened = cursor()
    return opened is not None and opened.connection is not None
