"""The driver's connection, which knows who may use it and what it left behind."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import MySQLdb

from . import DriverConnection
from .errors import CONNECTION_LOST, TLS_ERROR, broke_within_handshake, error_code
from .readable import Readable
from .statements import may_change_session, outlasts_reset

#: Marks a connection that any thread may use, as Django's thread sharing allows.
ANY_THREAD = None
#: Marks a connection that nobody may use: no thread has this identifier.
NO_THREAD = 0

#: The isolation level of a session that Django has not set up yet.
NOT_SET_UP = object()

#: Errors after which the connection is not lent again. It is lost; or the statement
#: was killed or timed out, and a KILL that came late may hit the next one; or the
#: server has become read-only, as a primary does after a fail-over.
RETIRING = frozenset({*CONNECTION_LOST, TLS_ERROR, 1317, 1969, 3024, 1290, 1792, 1836})

#: Every open connection of this process, for those who must know after a fork.
connections: weakref.WeakSet[Connection] = weakref.WeakSet()


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
        def next_result(self) -> int: ...
        def thread_id(self) -> int: ...
        def character_set_name(self) -> str: ...
        def escape_string(self, text: bytes) -> bytes: ...
        def discard_result(self) -> None: ...
        def read_query_result(self) -> None: ...

    #: The server's number for it.
    _id: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.thread: int | None = ANY_THREAD
        self._busy: int | None = None
        self._unbuffered = False
        self.after_query: Callable[[], None] | None = None
        #: Whether the session may differ from what it was at connect.
        self.is_dirty: bool = False
        #: Whether nobody can say in what state it is.
        self.is_doubtful: bool = False
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
        self._options = kwargs
        self.is_dirty = False
        #: What Django's backend has learnt of the server on this connection.
        self.server_data: dict[str, Any] | None = None
        #: The isolation level for which Django has set up the session.
        self.isolation_level: object = NOT_SET_UP
        #: Whether anybody has had it yet.
        self.fresh: bool = True
        #: When the connection is to be replaced, on the monotonic clock.
        self.expires: float = float("inf")
        #: Whether anybody could have used it since its checkout.
        self.was_lent: bool = False
        #: Since when nobody has had it, on the same clock.
        self.idle_since: float = 0.0
        self._descriptor = self.fileno()
        self._readable = Readable(self._descriptor)
        connections.add(self)

    def __repr__(self) -> str:
        # The driver's own names the host.
        return f"<Connection {self._id}: {'open' if self.open else 'closed'}>"

    def query(self, query: bytes | bytearray | str, **options: Any) -> Any:
        self._check_thread()
        self._busy = threading.get_ident()
        try:
            # Again, now that it is busy: revoke() takes the thread away before it looks
            # whether anybody is, so one of the two sees the other.
            self._check_thread()
            self._look_at(query.encode() if isinstance(query, str) else bytes(query))
            return super().query(query, **options)
        except BaseException as error:
            self._judge(error)
            self._rest()
            raise

    def store_result(self) -> Any:
        # Here the rows are read, which can take longer than the statement itself.
        try:
            return super().store_result()  # type: ignore[no-untyped-call]
        except MySQLdb.Error as error:
            self._judge(error)
            raise
        finally:
            self._rest()

    def use_result(self) -> Any:
        self._unbuffered = True
        try:
            return super().use_result()  # type: ignore[no-untyped-call]
        finally:
            self._rest()

    def _look_at(self, statement: bytes) -> None:
        if not self.is_dirty:
            self.is_dirty = may_change_session(statement, self._backslash_escapes)
        if self.is_dirty and outlasts_reset(statement):
            self.is_doubtful = True

    @property
    def in_query(self) -> bool:
        """Whether another thread is inside a statement."""
        return self._busy is not None and self._busy != threading.get_ident()

    def _judge(self, error: BaseException) -> None:
        if isinstance(error, MySQLdb.Error) and error_code(error) in RETIRING:
            self.is_doubtful = True

    def _rest(self) -> None:
        self._busy = None
        if self.after_query is not None:
            after_query, self.after_query = self.after_query, None
            after_query()

    def commit(self) -> None:
        self._run(super().commit)

    def rollback(self) -> None:
        self._run(super().rollback)

    def autocommit(self, on: bool) -> None:
        # Asking for the mode costs no round trip.
        if self.get_autocommit() == on:
            self._check_thread()
        else:
            self._run(super().autocommit, on)

    def ping(self, *args: Any) -> None:
        self._run(super().ping, *args)

    def _run(self, function: Callable[..., None], *args: Any) -> None:
        """Call *function*, which speaks with the server without :meth:`query`."""
        self._check_thread()
        self._busy = threading.get_ident()
        try:
            self._check_thread()
            function(*args)
        except BaseException:
            self.is_doubtful = True
            raise
        finally:
            self._rest()

    def send_query(self, query: bytes | str) -> None:
        self._check_thread()
        self.is_dirty = True
        super().send_query(query)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        # The pool closes what its user has closed already, and must not mind.
        if self.open:
            super().close()  # type: ignore[no-untyped-call]

    def select_db(self, db: str) -> None:
        self.is_dirty = True
        super().select_db(db)  # type: ignore[no-untyped-call]

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        self.is_dirty = True
        super().set_character_set(charset, collation)

    def change_user(self, *args: Any, **kwargs: Any) -> None:
        self.is_dirty = True
        self.isolation_level = NOT_SET_UP
        super().change_user(*args, **kwargs)  # type: ignore[no-untyped-call]

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
                while self.next_result() != -1:
                    self.discard_result()
            self.autocommit(autocommit)
        except MySQLdb.Error:
            return False
        self.is_dirty = False
        return True

    def lend(self, thread: int | None) -> None:
        """Let *thread* use the connection from now on."""
        self.was_lent = True
        self._busy = None
        self.thread = thread

    def revoke(self, after_query: Callable[[], None]) -> bool:
        """Let nobody use the connection any more.

        Returns whether no other thread is inside a statement. If one is, it calls
        *after_query* when it comes out.
        """
        self.thread = NO_THREAD
        if self._busy is not None and self.in_query:
            self.after_query = after_query
            return not self.in_query
        return True

    def is_drained(self) -> bool:
        """Whether no result is left to be read."""
        if not self.is_dirty and not self._unbuffered and self._busy is None:
            # Each statement was a single one, and its rows have been stored. Asking the
            # driver would let go of the interpreter, which others may want.
            return True
        try:
            # Without pending results this asks nothing of the server.
            drained = self.next_result() == -1
        except MySQLdb.Error:
            return False
        self._unbuffered = False
        return drained

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
        self.thread = NO_THREAD
        with contextlib.suppress(MySQLdb.Error, OSError):
            os.dup2(null, self.fileno(), inheritable=False)

    def _backslash_escapes(self) -> bool:
        # The driver knows from the server whether sql_mode has NO_BACKSLASH_ESCAPES.
        return bool(self.escape_string(b"'") != b"''")

    def _check_thread(self) -> None:
        if self.thread is not ANY_THREAD and self.thread != threading.get_ident():
            raise MySQLdb.InterfaceError(
                0, "This connection has been given back to its pool."
            )
