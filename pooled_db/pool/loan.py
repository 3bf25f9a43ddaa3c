"""One loan of a connection, from asking for it until it is back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..driver.connection import Connection
from ..driver.use import ANY_THREAD, NO_THREAD
from .permit import ADMITTED, CLOSED, LENT, READY, RETURNED, TAKING
from .requester import Requester
from .sharing import Shared, Sharing

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection, QueuePool

    from .destination import Destination


class Lender(Sharing, Protocol):
    """The pool, as its loans know it."""

    alias: str
    home: Destination | None
    lends_by_transaction: bool

    def check_in(self, loan: Loan, keep: bool) -> None:
        """Take the loan's connection back, and let the next have its permit."""

    def drop(self, loan: Loan) -> None:
        """Do what is left of that after an interrupt, without the connection."""

    def cleans(self, connection: Connection) -> bool:
        """Whether *connection* was cleaned for its next user."""

    def needs_cleaning(self, connection: Connection) -> bool:
        """Whether that takes a round trip."""


class Loan(Shared):
    """The loan of a connection of *pool*, to the request of *requester* or to a thread.

    At work it is inside a statement, its result not yet read, in an atomic block or
    with the autocommit mode changed, or with a session that is not clean. Otherwise it
    is at rest.

    The state changes under the gate's lock, but for the end: a finalizer, which must
    not wait for a lock, can end it, too.
    """

    pool: Lender

    is_known: bool = False
    #: When it was taken, on the gate's clock.
    since: float = 0.0
    fairy: PoolProxiedConnection | None = None
    queue: QueuePool | None = None
    #: Whether its connection was opened for it.
    is_new: bool = False
    #: How many connections were asked whether they work, before it had one.
    pings: int = 0
    #: Whether the log says that it lasts for too long.
    is_reported: bool = False
    #: Whether the server must not be waited for: only what is idle will do.
    idle_only: bool = False
    #: What opens a connection to its destination, if not the pool's own.
    opening: Callable[[], Connection] | None = None
    # Whether its connection went with something to commit.
    _lost_uncommitted: bool = False

    def __init__(
        self, pool: Lender, requester: Callable[[], Requester | None] | None = None
    ) -> None:
        self.pool = pool
        #: Where its connection leads.
        self.destination: Destination | None = pool.home
        #: A weak reference to its request; ``None`` outside of requests.
        self.requester = requester
        self.pins = set()
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

    @property
    def has_uncommitted(self) -> bool:
        """Whether it has, or had at its end, what is still to be committed.

        Only where the settings say that autocommit is off.
        """
        if self.over:
            return self._lost_uncommitted
        return self.connection is not None and self.connection.uncommitted

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
        connection = self.connection
        if connection is not None:
            self._lost_uncommitted |= connection.uncommitted
        self.over = True
        self.user = NO_THREAD
        self.borrower = None
        state = self.state
        if state is RETURNED or state is CLOSED:
            return
        if state is TAKING:
            return  # whoever takes the connection sees that it is over
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
        if self.line:
            for turn in list(self.line):
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
