"""A connection that the threads of one request use in turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import MySQLdb

from ..driver.connection import Connection
from ..driver.slot import OUTSIDE, padded
from ..driver.use import ANY_THREAD, NO_THREAD
from .origin import describe, origin
from .permit import LENT, NEW, READY, WAITING, Permit
from .requester import Requester
from .turn import BorrowerRef, Turn

if TYPE_CHECKING:
    from .gate import Gate
    from .origin import Origin


class Sharing(Protocol):
    """The pool, as those who take turns know it."""

    timeout: float
    #: Whether loans that last for too long are logged, with the line that took them.
    warns: bool

    @property
    def gate(self) -> Gate: ...

    def refuse_turn(self, loan: Shared, waited: float) -> BaseException:
        """Make the error of whoever waited in vain for its turn."""


class Shared(Permit):
    """A connection, and which thread of its request may use it.

    Of these threads whoever needs it at rest becomes its *user*, who alone may make
    statements. Whoever needs it while it is at work stands in its *line*.

    Whoever gives it sets what it gives and looks at ``over`` then; the end does it the
    other way round, so one of the two sees the other.
    """

    pool: Sharing
    requester: Callable[[], Requester | None] | None = None
    connection: Connection | None = None
    user: int | None = NO_THREAD
    borrower: BorrowerRef | None = None
    #: Nobody may use it any more.
    over: bool = False
    #: It was taken back at rest, for somebody who waited.
    called_back: bool = False
    #: Where it was taken, if not for a request, or if that is to be logged.
    origin: Origin | None = None
    #: Who may become its user again: their cursors are still good.
    threads: tuple[int, ...] = ()
    #: Who of its request waits for it to rest; a deque when there is somebody.
    line: deque[Turn] | tuple[()] = ()
    #: Threads that are just about to use it: none of the others may have it. Who
    #: puts itself in looks after that whether it is the borrower still.
    pins: set[int]

    def discard(self) -> None:
        """End it, and close the connection."""
        raise NotImplementedError

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
        return borrower is not None and borrower.has_atomic_block

    # Lending.

    def lend(self, borrower: BorrowerRef | None, thread: int) -> bool:
        """Let *thread* use it, and nobody else; ``False`` if that cannot be now.

        It can if the loan is ready, or lent and at rest. It is pinned for the
        borrower.
        """
        pool, connection = self.pool, self.connection
        gate = pool.gate
        with gate.lock:
            if self.state is READY and borrower is not None and not self.line:
                # What _lend() would do, in 0.3 us less.
                self.state = LENT
                self.threads = (thread,)
                connection.is_clean = False  # type: ignore[union-attr]
                self.pins.add(thread)
                self.borrower = borrower
                self.user = thread
                lent = not self.over
                if not lent:
                    self._take_away()
            else:
                lent = self._lend(borrower, thread)
        if gate.returned:
            gate.settle()
        if lent:
            if pool.warns and self.origin is None:
                self.origin = origin()
            slot = connection.slot  # type: ignore[union-attr]
            if slot is not None:
                slot.text[:] = padded(self._label())
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
        if self.line:
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
            self.pass_turn_locked()
        gate.settle()
        if self.over:
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
            if connection is not None:
                # Before the look, as in queue_up().
                connection.after_rest = self._after_rest
            self.pass_turn()
