"""One loan of a connection, from asking for it until it is back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Protocol

import MySQLdb

from ..driver.connection import Connection
from ..driver.slot import OUTSIDE, padded
from ..driver.use import ANY_THREAD, NO_THREAD
from .origin import describe, origin
from .permit import (
    ADMITTED,
    CLOSED,
    LENT,
    NEW,
    READY,
    RETURNED,
    TAKING,
    WAITING,
    Permit,
)
from .turn import BorrowerRef, Turn

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection, QueuePool

    from .destination import Destination
    from .gate import Gate
    from .origin import Origin


class Requester(Protocol):
    """The request that a loan belongs to."""

    @property
    def receiving_since(self) -> float | None:
        """Since when its thread has waited for its client, if it does."""

    def describe(self) -> str:
        """Name the request, as it goes on after "for"."""

    def label(self) -> str:
        """Name it in short, for those who look from outside."""

    def client(self) -> Hashable:
        """Who asks, as far as requests of others are to be told from these."""

    def has_priority(self) -> bool:
        """Whether it goes before others."""


class Lender(Protocol):
    """The pool, as its loans know it."""

    alias: str
    timeout: float
    home: Destination | None
    lends_by_transaction: bool
    #: Whether loans that last for too long are logged, with the line that took them.
    warns: bool

    @property
    def gate(self) -> Gate: ...

    def check_in(self, loan: Loan, keep: bool) -> None:
        """Take the loan's connection back, and let the next have its permit."""

    def drop(self, loan: Loan) -> None:
        """Do what is left of that after an interrupt, without the connection."""

    def cleans(self, connection: Connection) -> bool:
        """Whether *connection* was cleaned for its next user."""

    def needs_cleaning(self, connection: Connection) -> bool:
        """Whether that takes a round trip."""

    def refuse_turn(self, loan: Loan, waited: float) -> BaseException:
        """Make the error of whoever waited in vain for its turn."""


class Loan(Permit):
    """The loan of a connection of *pool*, to the request of *requester* or to a thread.

    At work it is inside a statement, its result not yet read, in an atomic block or
    with the autocommit mode changed, or with a session that is not clean. Otherwise it
    is at rest. Of the threads of its request whoever needs it at rest becomes its
    *user*, who alone may make statements.

    The state changes under the gate's lock, but for the end: a finalizer, which must
    not wait for a lock, can end it, too. Whoever gives it sets what it gives and looks
    at ``over`` then; the end does it the other way round, so one of the two sees the
    other.
    """

    is_known: bool = False
    #: When it was taken, on the gate's clock.
    since: float = 0.0
    connection: Connection | None = None
    fairy: PoolProxiedConnection | None = None
    queue: QueuePool | None = None
    user: int | None = NO_THREAD
    borrower: BorrowerRef | None = None
    #: Nobody may use it any more.
    over: bool = False
    #: Whether its connection was opened for it.
    is_new: bool = False
    #: How many connections were asked whether they work, before it had one.
    pings: int = 0
    #: It was taken back at rest, for somebody who waited.
    called_back: bool = False
    #: Where it was taken, if not for a request, or if that is to be logged.
    origin: Origin | None = None
    #: Whether the log says that it lasts for too long.
    is_reported: bool = False
    #: What opens a connection to its destination, if not the pool's own.
    opening: Callable[[], Connection] | None = None
    #: Who may become its user again: their cursors are still good.
    threads: tuple[int, ...] = ()
    #: Who of its request waits for it to rest; a deque when there is somebody.
    line: deque[Turn] | tuple[()] = ()

    def __init__(
        self, pool: Lender, requester: Callable[[], Requester | None] | None = None
    ) -> None:
        self.pool = pool
        #: Where its connection leads.
        self.destination: Destination | None = pool.home
        #: A weak reference to its request; ``None`` outside of requests.
        self.requester: Callable[[], Requester | None] | None = requester
        #: Threads that are just about to use it: none of the others may have it. Who
        #: puts itself in looks after that whether it is the borrower still.
        self.pins: set[int] = set()
        # Those who would end it. The first does: append() is atomic.
        self._enders: list[object] = []

    def __repr__(self) -> str:
        return f"<Loan of {self.pool.alias!r}: {self.state.name.lower()}>"

    def introduce(self) -> None:
        """Ask its request who its client is, and whether it has priority."""
        ref = self.requester
        requester = None if ref is None else ref()
        if requester is not None:
            self.client = requester.client()
            self.priority = requester.has_priority()
        self.is_known = True

    @property
    def is_out(self) -> bool:
        """Whether it has a connection, and has not ended."""
        return self.connection is not None and not self.over

    # At work or at rest.

    def resting_since(self) -> float | None:
        """Since when nobody has worked with it; ``None`` while somebody does."""
        if self.state is ADMITTED:
            return self.arrived + self.waited
        if self.state is READY:
            return self.since
        if self.state is LENT and self._is_at_rest():
            assert self.connection is not None
            return max(self.since, self.connection.rested)
        return None

    def _is_at_rest(self) -> bool:
        connection = self.connection
        return (
            connection is not None
            and connection.is_at_rest
            and not self.in_atomic_block
        )

    @property
    def in_atomic_block(self) -> bool:
        """Whether its user has a transaction open."""
        ref = self.borrower
        borrower = None if ref is None else ref()
        return borrower is not None and borrower.has_transaction

    @property
    def has_ended(self) -> bool:
        """Whether its permit is back, too."""
        return self.state in (RETURNED, CLOSED)

    @property
    def is_on_call(self) -> bool:
        """Whether it may be called back when it is at rest and somebody waits."""
        if self.state is not LENT:
            return self.requester is not None and self.borrower is None
        if not self.may_be_missed:
            return False
        return (
            self.requester is None
            or self.pool.lends_by_transaction
            or self.receiving_since is not None
        )

    @property
    def receiving_since(self) -> float | None:
        """Since when its request has waited for its client, if it does."""
        requester = None if self.requester is None else self.requester()
        return None if requester is None else requester.receiving_since

    @property
    def may_be_missed(self) -> bool:
        """Whether its borrower finds out when it is called back, and takes another."""
        return self.borrower is not None and self.user is not ANY_THREAD

    # Lending.

    def lend(self, borrower: BorrowerRef | None, thread: int) -> bool:
        """Let *thread* use it, and nobody else; ``False`` if that cannot be now.

        It can if the loan is ready, or lent and at rest. It is pinned for the
        borrower.
        """
        gate = self.pool.gate
        with gate.lock:
            if self.state is READY and borrower is not None and not self.line:
                # What _lend() would do, in 0.3 us less.
                self.state = LENT
                self.threads = (thread,)
                self.connection.is_clean = False  # type: ignore[union-attr]
                self.pins.add(thread)
                self.borrower = borrower
                self.user = thread
                lent = not self.over
                if self.over:
                    self._take_away()
            else:
                lent = self._lend(borrower, thread)
        if gate.returned:
            gate.settle()
        if lent and self.pool.warns and self.origin is None:
            self.origin = origin()
        if lent and self.connection is not None and self.connection.slot is not None:
            self.connection.slot.text[:] = padded(self._label())
        return lent

    def _label(self) -> str:
        requester = None if self.requester is None else self.requester()
        if requester is not None:
            return requester.label()
        return OUTSIDE + describe(self.origin)

    def _lend(self, borrower: BorrowerRef | None, thread: int) -> bool:
        connection = self.connection
        if self.over or connection is None or self.state not in (READY, LENT):
            return False
        previous = self.user
        if self.state is LENT:
            if not self._is_at_rest() or self._is_pinned_besides(thread):
                return False
            # A statement raises its flag, and looks at the user after that. Whoever
            # pins it looks at the borrower.
            mine, self.borrower = self.borrower, None
            self.user = NO_THREAD
            if not connection.is_at_rest or self._is_pinned_besides(thread):
                self._restore(previous, mine)
                return False
            self.borrower = mine
        self.state = LENT
        if thread not in self.threads:
            self.threads = (*self.threads, thread)
        if self.line:
            connection.after_rest = self._after_rest
        connection.is_clean = False
        if borrower is not None:
            self.pins.add(thread)
            self.borrower = borrower
        if previous is not NO_THREAD and thread != previous:
            connection.forget_last_statement()
        self.user = thread
        if self.over:  # by another thread, or a finalizer
            self._take_away()  # type: ignore[unreachable]
            return False
        return True

    def _restore(self, user: int | None, borrower: BorrowerRef | None) -> None:
        self.user = user
        self.borrower = borrower
        if self.over:
            self._take_away()

    def _take_away(self) -> None:
        self.user = NO_THREAD
        self.borrower = None

    def _is_pinned_besides(self, thread: int) -> bool:
        return bool(self.pins) and self.pins != {thread}

    def unpin(self, thread: int) -> None:
        """Let others have it again, as far as *thread* is concerned."""
        self.pins.discard(thread)
        if self.line and not self.over:
            self.pass_turn()

    def share(self) -> None:
        """Let any thread use it, as Django's thread sharing allows."""
        self.user = ANY_THREAD
        if self.over:
            self.user = NO_THREAD

    def take_turn(self, thread: int) -> None:
        """Let *thread*, which has used it before, make a statement; wait for its turn.

        Raises MySQLdb.InterfaceError if the loan is not its any more, and PoolTimeout
        if the others do not come to rest in time.
        """
        turn = Turn(thread)
        if thread not in self.threads or not self.queue_up(turn):
            if self.over:
                self.discard()  # it may have been left in a statement
            raise self._over()
        try:
            if not turn.came.wait(self.pool.timeout):
                raise self.pool.refuse_turn(self, self.pool.timeout)
            if not turn.granted:
                raise self._over()
        except BaseException:
            self.leave_line(turn)
            raise

    def _over(self) -> MySQLdb.InterfaceError:
        if self.called_back:
            what = "called back for others, who were waiting"
        else:
            what = "given back to its pool"
        return MySQLdb.InterfaceError(0, f"This connection has been {what}.")

    def queue_up(self, turn: Turn) -> bool:
        """Grant *turn* now, or when the loan comes to rest; ``False`` if it is over."""
        gate = self.pool.gate
        with gate.lock:
            line = self._own_line()
            line.append(turn)
            if self.connection is not None:
                # Before the look: a statement that ends now sees it, or is seen.
                self.connection.after_rest = self._after_rest
            if not self.over:
                self.pass_turn_locked()
        gate.settle()
        if self.over and not turn.granted:
            self.leave_line(turn)
            return False
        return True

    def leave_line(self, turn: Turn) -> None:
        """Wait for *turn* no more, and leave it to the next if it has come."""
        with self.pool.gate.lock:
            if turn in self.line:
                self._own_line().remove(turn)
        if turn.granted:
            self.pins.discard(turn.thread)
            self.pass_turn()
        else:
            self.pool.gate.settle()

    def _own_line(self) -> deque[Turn]:
        line = self.line
        if isinstance(line, tuple):
            line = self.line = deque()
        return line

    def pass_turn(self) -> None:
        """Let the first in line use it, if it is at rest."""
        gate = self.pool.gate
        with gate.lock:
            if not self.over:
                self.pass_turn_locked()
        gate.settle()

    def pass_turn_locked(self) -> None:
        """Do the same, with the gate's lock held."""
        line = self._own_line()
        while line:
            turn = line[0]
            permit = turn.permit
            if permit is not None and permit.state not in (NEW, WAITING):
                line.popleft()  # it has got a connection of its own
                continue
            if not self._lend(turn.borrower, turn.thread):
                return
            line.popleft()
            turn.granted = True
            turn.came.set()
            if permit is not None:
                self.pool.gate.withdraw(permit)
            return

    def _after_rest(self) -> None:
        """Called by the connection when a statement has ended."""
        connection = self.connection
        if self.over:
            if connection is not None and connection.is_being_read:
                connection.after_rest = self._after_rest
            else:
                self.discard()
        elif self.line:
            self.pass_turn()
            if self.line and connection is not None:
                connection.after_rest = self._after_rest

    # Giving back.

    def needs_io(self) -> bool:
        """Whether giving it back takes a round trip to the server in this thread."""
        connection = self.connection
        return (
            connection is not None
            and not connection.in_query
            and self.pool.needs_cleaning(connection)
        )

    def checkin(self, keep: bool = True) -> None:
        """Give the connection back: clean, or closed if that is in doubt.

        If another thread is still inside a statement, the connection is closed, and
        its permit given back, when that thread comes out.
        """
        # Whatever of it is interrupted can be done again.
        self.over = True
        self.user = NO_THREAD
        self.borrower = None
        state = self.state
        if state is RETURNED or state is CLOSED:
            return
        if state is TAKING:
            return  # whoever takes the connection sees that it is over
        connection = self.connection
        if connection is not None and not connection.let_go():
            # Whoever is inside a statement closes it on leaving. If that has just been,
            # nobody would.
            connection.after_rest = self._after_rest
            if not connection.let_go():
                return
        ender = object()
        enders = self._enders
        try:
            enders.append(ender)
            if enders[0] is ender:
                self.pool.check_in(self, keep)
        except BaseException:
            if enders and enders[0] is ender:
                self.pool.drop(self)
            raise
        for turn in list(self.line) if self.line else ():
            turn.came.set()

    def discard(self) -> None:
        """Close the connection instead of giving it back for others to use."""
        self.checkin(False)

    def call_back(self) -> bool:
        """Let nobody use it any more, if it is at rest, with the gate's lock held.

        Whoever calls it hands it in after that.
        """
        if self.over:
            return False
        connection = self.connection
        if self.state is LENT:
            assert connection is not None
            user, self.user = self.user, NO_THREAD
            borrower, self.borrower = self.borrower, None
            # As in _lend. And whoever pins it looks at the borrower after that.
            if self.pins or not connection.is_at_rest or connection.has_open_cursor():
                self._restore(user, borrower)
                return False
        elif self.state not in (ADMITTED, READY):
            return False
        self.called_back = True
        self.over = True
        return True

    def leave(self) -> bool:
        """Give it up without ending it, for a thread whose request others go on with.

        ``False`` if nobody else has a cursor that is still good: then it is to end.
        """
        connection = self.connection
        if (
            self.over
            or connection is None
            or len(self.threads) < 2
            or connection.in_query
            or not connection.has_open_cursor(besides=threading.get_ident())
            or not self.pool.cleans(connection)
        ):
            return False
        here = threading.get_ident()
        self.threads = tuple(thread for thread in self.threads if thread != here)
        self.borrower = None
        connection.is_clean = False
        return not self.over
