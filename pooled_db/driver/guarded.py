"""The driver's connection, which obeys its loan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

import MySQLdb

from . import DriverConnection
from .cursor import is_open, taking_turns
from .errors import out_of_step
from .last_statement import LastStatement
from .slot import AT_WORK, RESTED, TRANSACTION, Slot
from .unbuffered import Unbuffered
from .use import ANY_THREAD, ANYBODYS, NO_THREAD, Use, given_back

#: How much of a statement that may have changed a session is kept, to be told.
LONGEST_TOLD = 1000

#: What next_result() returns.
NO_MORE_RESULTS = -1
#: How many cursors are kept in mind before those are forgotten that are closed.
MOST_CURSORS = 8


class GuardedConnection(DriverConnection):
    """Lets nobody make a statement but the present user of its loan.

    A cursor can outlive the loan of its connection, in a thread that goes on after
    its request or in a variable that is kept. It then gets an ``InterfaceError``,
    never somebody else's session.

    Every statement passes through :meth:`query`, those of raw driver cursors included.
    """

    if TYPE_CHECKING:

        def get_autocommit(self) -> bool: ...

    #: Whether the session may differ from what it was at connect.
    is_dirty: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Who may use it: the loan that it is out for.
        self.loan: Use = ANYBODYS
        self._busy: int | None = None
        # Whether a statement has been made whose answer nobody has asked for, and which
        # thread may do so: whoever ends the loan takes that away.
        self._unread = False
        self._reader: int | None = None
        # Whether it has been sent only, and its answer is on the way.
        self._is_sent = False
        self._unbuffered = False
        self._cursors: list[tuple[ref[Any], int]] = []
        # Whose the last statement is, if it may be another's.
        self._last: LastStatement | None = None
        #: Called when a statement has ended.
        self.after_rest: Callable[[], None] | None = None
        #: When the last statement ended, on the monotonic clock.
        self.rested: float = 0.0
        # The beginning of the statement that has made it so.
        self._dirtied_by: bytes | bytearray = b""
        #: Whether nobody can say in what state it is.
        self.is_doubtful: bool = False
        #: Whether an answer is left on the way, so that no statement can be made.
        self.is_out_of_step: bool = False
        #: Where others may see what is done with it; ``None`` if nowhere.
        self.slot: Slot | None = None
        #: The autocommit mode in which it is lent.
        self.home_mode: bool = bool(kwargs.get("autocommit", True))
        super().__init__(*args, **kwargs)
        self.is_dirty = False
        #: Where autocommit is off for all: whether there is something to commit.
        self.uncommitted: bool = False

    def _make_dirty(self, by: bytes | bytearray) -> None:
        if not self.is_dirty:
            self.is_dirty = True
            self._dirtied_by = by[:LONGEST_TOLD]

    @property
    def dirtied_by(self) -> str | None:
        """The beginning of the statement that may have changed the session, if any."""
        if not self.is_dirty:
            return None
        return self._dirtied_by.decode(errors="replace")

    # For whoever knows the session.

    def _look_at(self, query: bytes | bytearray | str) -> None:
        """Note what *query* is about to change; called before it is sent."""

    def _judge(self, error: BaseException, size: int = 0) -> None:
        """Draw the consequences of *error*, of a statement of *size* bytes."""

    def _has_answer(self) -> bool:
        """Whether the last statement may have left rows to be read."""
        return self._unread

    # Statements.

    def query(self, query: bytes | bytearray | str, **options: Any) -> Any:
        self._begin()
        try:
            if self._is_sent:
                raise out_of_step()  # the client library does not see it
            self._look_at(query)
            self._unread = True
            self.uncommitted = not self.home_mode
            self._reader = self._busy
            if options:
                return DriverConnection.query(self, query, **options)
            return DriverConnection.query(self, query)
        except BaseException as error:
            self._judge(error, len(query))
            raise
        finally:
            if self._unread:
                # _rest() without the call: until it is read, it is nobody else's.
                self._busy = None
            else:
                self._rest()

    def store_result(self) -> Any:
        # Here the rows are read, which can take longer than the statement itself.
        thread = get_ident()
        if self._reader == thread:
            # _begin_reading() without the call.
            self._busy = thread
            if self._reader != thread:
                self._begin_reading()
        else:
            self._begin()
        try:
            result = DriverConnection.store_result(self)
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
            return result and Unbuffered(result, self, self.loan)
        except BaseException as error:
            self._judge(error)
            raise
        finally:
            self._rest()

    def read_on(self, loan: Use, read: Callable[..., Any], *args: Any) -> Any:
        """Read more rows of a statement that was made during *loan*, if it lasts.

        Whoever ends it meanwhile leaves the connection to this thread, to be closed
        afterwards: the driver must not close what is just being read.
        """
        if self.is_out_for(loan):
            try:
                self._busy = get_ident()
                if self.is_out_for(loan):  # as in _begin
                    return read(*args)
            except MySQLdb.Error as error:
                self._judge(error)
                raise
            finally:
                self._rest()
        raise given_back()

    def is_out_for(self, loan: Use) -> bool:
        """Whether it is still *loan* that it is out for."""
        return self.loan is loan and loan.user != NO_THREAD

    def cursor(
        self, cursorclass: type[Any] | None = None, cursor: type[Any] | None = None
    ) -> Any:
        """Open a cursor, for which the loan is kept until it is closed.

        The drivers differ in what they call its class.
        """
        wanted: Any = cursorclass or cursor or self.cursorclass
        opened = taking_turns(wanted)(self)
        cursors = self._cursors
        if len(cursors) >= MOST_CURSORS:
            cursors = [entry for entry in cursors if is_open(entry[0])]
            self._cursors = cursors
        cursors.append((ref(opened), get_ident()))
        return opened

    def begin_use(self) -> Use:
        """Let nobody else of the request have it until the result is unpinned.

        Waits for this thread's turn.
        """
        thread = get_ident()
        while True:
            loan = self.loan
            loan.pins.add(thread)
            user = loan.user
            if user == thread or user is ANY_THREAD:
                return loan
            loan.unpin(thread)
            loan.take_turn(thread)

    def next_result(self, *args: Any, **options: Any) -> int:
        # Where nothing of this thread's is left, the driver would look at a connection
        # which another thread may be using.
        if not (self.is_dirty or self._unbuffered or self._unread):
            return NO_MORE_RESULTS
        user = self.loan.user
        if user != get_ident() and user is not ANY_THREAD:
            return NO_MORE_RESULTS
        if self.is_out_of_step or (self._unread and self._has_answer()):
            # An interrupt has struck before the answer was asked for. The driver would
            # raise an error in its place.
            self.is_doubtful = self.is_out_of_step = True
            return NO_MORE_RESULTS
        self._begin()
        try:
            more: int = super().next_result(*args, **options)  # type: ignore[no-untyped-call]
            return more
        except BaseException as error:
            self._judge(error)
            raise
        finally:
            self._rest()

    def has_open_cursor(self, besides: int | None = None) -> bool:
        """Whether somebody may go on with a cursor, other than thread *besides*."""
        return any(
            thread != besides and is_open(cursor)
            for cursor, thread in list(self._cursors)
        )

    def _begin(self) -> None:
        """Enter a statement, if it is this thread's turn, or when it is."""
        thread = get_ident()
        while True:
            loan = self.loan
            user = loan.user
            if user == thread or user is ANY_THREAD:
                self._busy = thread
                # Again, now that it is busy: whoever takes the connection away changes
                # the user before it looks whether a statement runs, so one of the two
                # sees the other.
                if self.loan is loan and loan.user is user:
                    if self.slot is not None:
                        self.slot.words[AT_WORK] = True
                    return
                self._rest()
            else:
                loan.take_turn(thread)

    def _begin_reading(self) -> None:
        """Go on with a statement, though its loan may have ended meanwhile."""
        thread = get_ident()
        if self._reader == thread:
            self._busy = thread
            if self._reader == thread:  # as in _begin
                return
            self._rest()
        self._begin()

    @property
    def is_being_read(self) -> bool:
        """Whether this thread is between a statement and its answer."""
        return self._unread and self._reader == get_ident()

    def let_go(self) -> bool:
        """Let nobody ask for an answer any more; ``False`` if somebody is inside."""
        busy = self._busy
        if busy is not None and busy != get_ident():
            return False
        self._reader = None
        busy = self._busy
        return busy is None or busy == get_ident()

    @property
    def in_query(self) -> bool:
        """Whether another thread is inside a statement."""
        return self._busy is not None and self._busy != get_ident()

    @property
    def in_statement(self) -> bool:
        """Whether somebody is inside a statement, or has not read its answer."""
        return self._busy is not None or self._unread

    @property
    def is_at_rest(self) -> bool:
        """Whether nobody works with it, and it is as its next user may have it."""
        if self._busy is not None or self._unread or self._unbuffered or self.is_dirty:
            return False
        if self.uncommitted:
            return False
        try:
            # Asking for the mode costs no round trip.
            return self.get_autocommit() == self.home_mode
        except MySQLdb.Error:
            return False  # it is closed, or just being used

    @property
    def was_left_unread(self) -> bool:
        """Whether this thread has not read the answer to an earlier statement."""
        return self.is_out_of_step or (
            self._unread and self.is_being_read and self._has_answer()
        )

    def _rest(self) -> None:
        if self._unread:
            # Its answer is to be read: as far as others can see, it is at work.
            self._busy = None
        else:
            self.rested = rested = monotonic()
            self._busy = None
            slot = self.slot
            if slot is not None:
                # As in is_at_rest, but for what costs a call: see autocommit().
                slot.words[AT_WORK] = (
                    self._unbuffered or self.is_dirty or self.uncommitted
                )
                slot.times[RESTED] = rested
        if self.after_rest is not None:
            after_rest, self.after_rest = self.after_rest, None
            after_rest()

    def commit(self) -> None:
        self._run(self._end_transaction, super().commit)

    def rollback(self) -> None:
        self._run(self._end_transaction, super().rollback)

    def _end_transaction(self, end: Callable[[], None]) -> None:
        end()
        # Whoever waits for rest looks as soon as this is over.
        self.uncommitted = False

    def autocommit(self, on: bool) -> None:
        # Also where there is nothing to change, which the driver sees: whose it is not
        # any more is to be told.
        self._run(super().autocommit, on)
        if self.slot is not None:
            self.slot.words[TRANSACTION] = on != self.home_mode

    def ping(self, *args: Any, **kwargs: Any) -> None:
        # With reconnect, mysqlclient would connect again in secret ever after.
        self.is_doubtful |= any((*args, *kwargs.values()))
        self._run(partial(super().ping, *args, **kwargs))

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

    # A statement in two halves.

    def send_query(self, query: bytes | str) -> None:
        self._begin()
        try:
            if self._is_sent:
                raise out_of_step()
            self._look_at(query)
            self._is_sent = self._unread = True
            self.uncommitted = not self.home_mode
            self._reader = self._busy
            super().send_query(query)  # type: ignore[no-untyped-call]
        except BaseException as error:
            self._judge(error, len(query))
            raise
        finally:
            self._rest()

    def read_query_result(self) -> None:
        self._begin_reading()
        try:
            super().read_query_result()  # type: ignore[no-untyped-call]
        except BaseException as error:
            self._judge(error)
            raise
        finally:
            self._is_sent = False
            self._rest()
