"""One database's QueuePool behind its gate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.exc import TimeoutError as NoSlot

from ..driver.connection import Connection
from ..driver.errors import has_no_room
from ..exceptions import Reason, ServerUnavailable
from .cleaning import Cleaning
from .connector import Connector
from .destination import Destination
from .entrance import Entrance
from .gate import Gate
from .loan import Loan
from .numbers import LIMIT, OLDEST, PEAK, Numbers, to_stats
from .on_call import OnCall
from .origin import origin
from .permit import ADMITTED, CLOSED, READY, TAKING, Refused
from .share import Siblings, no_siblings
from .stats import PoolStats
from .store import NoIdleConnection
from .thread_end import give_back_at_thread_end
from .turn import BorrowerRef

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection, QueuePool

#: Where a loan is to lead, and what opens a connection there.
Leading = tuple[Destination, Callable[[], Connection]]
#: What threads have taken for themselves, outside of requests, from whatever pool.
outsiders: set[Loan] = set()


class Pool(Entrance):
    """Connections to one database: at most ``pool_size + max_overflow`` at a time.

    The gate decides who is next and QueuePool keeps the connections. There are as many
    permits as QueuePool may open connections, so QueuePool itself never waits.

    *connect* opens a connection to *home*, where loans lead if not told otherwise; what
    it opens knows where that is. *autocommit* is the mode in which connections are
    lent. Times are in seconds.

    *reset* says what happens to a session before its next user gets it: ``"dirty"``
    makes it new if a statement may have changed it, ``"always"`` in any case, and
    ``"rollback"`` only ends what transaction may be open.

    *hold* says for how long a request keeps a loan that others wait for: ``"request"``
    until its end, ``"transaction"`` only while it works with it.

    Each new connection has to pass the statement *check_on_connect*, if there is one:
    it must not fail, and what it returns must be true.

    Idle connections beyond what was needed in the last *max_idle* seconds are closed;
    with ``None`` they stay.

    A connection that was idle for *ping_after* seconds is asked whether it works before
    it is lent, which is a round trip; ``None`` asks none.

    A loan that lasts for longer than *warn_after* seconds is logged once.

    *numbers* is where it counts: in memory of its own if not told otherwise.
    *siblings* tells of other pools that share the server's connections.
    """

    def __init__(
        self,
        alias: str,
        connect: Callable[[], Connection],
        *,
        pool_size: int = 10,
        max_overflow: int = 0,
        timeout: float = 5.0,
        recycle: float = 1800.0,
        ping_after: float | None = None,
        max_idle: float | None = None,
        check_on_connect: str | None = None,
        use_lifo: bool = False,
        echo: bool | str = False,
        max_waiting: int | None = None,
        queue_target: float | None = None,
        queue_interval: float = 1.0,
        reserved_share: float = 0.0,
        crowd: int | None = None,
        reset: str = "dirty",
        hold: str = "request",
        autocommit: bool = True,
        home: Destination | None = None,
        warn_after: float | None = None,
        numbers: Numbers | None = None,
        siblings: Siblings = no_siblings,
    ) -> None:
        numbers = Numbers() if numbers is None else numbers
        gate = Gate(
            pool_size + max_overflow,
            max_waiting=max_waiting,
            queue_target=queue_target,
            queue_interval=queue_interval,
            reserved_share=reserved_share,
            crowd=crowd,
            on_call=OnCall(numbers.was_called_back),
            on_line=numbers.line_is,
        )
        super().__init__(
            alias, gate, timeout=timeout, warn_after=warn_after, numbers=numbers
        )
        numbers.words[LIMIT] = gate.capacity
        numbers.granted(gate.capacity)
        self.connect = connect
        self.home = home
        self.ping_after = ping_after
        self.lends_by_transaction: bool = hold == "transaction"
        self._cleaning = Cleaning(reset, autocommit, numbers)
        #: Told of each connection that is opened, and of each that is closed, and why.
        self.on_opened: Callable[[Connection], None] | None = None
        self.on_closed: Callable[[Connection, str], None] | None = None
        self.is_disposed: bool = False
        self._connector = Connector(
            self,
            pool_size=pool_size,
            max_overflow=max_overflow,
            use_lifo=use_lifo,
            echo=echo,
            recycle=recycle,
            max_idle=max_idle,
            check_on_connect=check_on_connect,
            siblings=siblings,
        )
        self._store = self._connector.store
        self._here = self._connector.here

    def __repr__(self) -> str:
        stats = self.stats()
        return (
            f"<Pool {self.alias!r}: {stats.in_use} in use, {stats.idle} idle, "
            f"{stats.waiting} waiting, limit {stats.limit}>"
        )

    # Checkout.

    def checkout(
        self, borrower: BorrowerRef | None = None, leading: Leading | None = None
    ) -> Loan:
        """Wait for a permit in this thread, then take a connection for this thread.

        *leading* says where to, if not to the pool's home. If the thread ends without
        giving it back, that is done for it. Raises PoolTimeout, ServerUnavailable, or
        the driver's error if connecting fails for a reason that waiting does not cure.
        """
        loan = Loan(self)
        loan.begun = True
        if leading is not None:
            loan.destination, loan.opening = leading
        loan.origin = origin()
        try:
            self.admit(loan)
            self.take(loan)
            outsiders.add(loan)
            loan.lend(borrower, threading.get_ident())
            give_back_at_thread_end(loan)
        except BaseException:
            loan.discard()
            raise
        return loan

    def take(self, loan: Loan) -> None:
        """Take a connection for *loan*: an idle one, or a new one if there is none.

        If none can be opened, it waits for those that are open, before all others. The
        loan has its permit, and keeps it if this fails, unless its time is up. If it
        has ended meanwhile, the connection has gone back.
        """
        while True:
            mine = loan.state is TAKING and loan.begins_as is TAKING
            queue = self._store.queue
            fairy: PoolProxiedConnection | None = None
            try:
                if not mine:
                    with self.gate.lock:
                        if loan.state is ADMITTED:
                            loan.state = TAKING
                            mine = True
                    if self.gate.returned:
                        self.gate.settle()
                    if not mine:
                        return
                if not loan.over:
                    try:
                        fairy = queue.connect()
                    except NoSlot:
                        fairy = None  # opened below, where its errors stand alone
                    if fairy is None:
                        fairy = self._connector.open_another(queue, loan)
                    while not self._connector.is_fit(fairy.dbapi_connection, loan):  # type: ignore[arg-type]
                        self._connector.discard(fairy, queue)
                        fairy = None
                        fairy = self._connector.take_from(queue, loan)
                    connection: Connection = fairy.dbapi_connection  # type: ignore[assignment]
                    connection.lent_for(loan)
                    loan.fairy, loan.queue = fairy, queue
                    loan.connection = connection
                    numbers = self.numbers
                    numbers.lent(loan.waited, loan.since, connection.slot)
                    if self.gate.count() > numbers.words[PEAK]:
                        numbers.were_lent(len(self.lent()))
                    if self._overdue is not None:
                        self._overdue.pass_by(loan.since)
                break
            except BaseException as error:
                if mine:
                    self._take_no_more(loan, fairy, queue, error)
                if isinstance(error, Refused):
                    raise self._refusal(error, loan, 0.0) from None
                if not isinstance(error, ServerUnavailable):
                    raise
                self._wait_for_others(loan, error)
        loan.state = ADMITTED if loan.connection is None else READY
        if loan.over:
            loan.checkin()

    def _take_no_more(
        self,
        loan: Loan,
        fairy: PoolProxiedConnection | None,
        queue: QueuePool,
        error: BaseException,
    ) -> None:
        """Put *fairy* back, which *error* has kept from *loan*."""
        self._connector.limit.opening.discard(loan)
        loan.fairy = loan.connection = None
        failure = getattr(self._here, "failure", None)
        self._here.failure = None
        if fairy is None:
            if error is not failure:
                # Not because it could not be opened: an interrupt in the queue itself.
                self._store.renew(queue)
        elif isinstance(error, NoIdleConnection):
            fairy.close()
        elif fairy.is_valid:
            self._store.discard(fairy, queue)
        loan.state = ADMITTED
        if loan.over:  # another thread has ended it meanwhile
            loan.checkin()

    def _wait_for_others(self, loan: Loan, error: ServerUnavailable) -> None:
        """Wait for a permit once more, if there are connections to wait for."""
        # Whose time went into connecting has not waited for them in vain.
        is_late = self.gate.clock() >= loan.deadline and not has_no_room(error)
        if is_late or not self._connector.may_wait(loan, error):
            self.numbers.refused(Reason.UNAVAILABLE)
            raise error
        try:
            self.gate.acquire_again(loan)
        except Refused as refusal:
            if not self._connector.others(loan, error):
                self.numbers.refused(Reason.UNAVAILABLE)
                raise error from None
            raise self._refusal(refusal, loan, 0.0) from None

    def take_idle(self, loan: Loan) -> None:
        """Do the same without waiting for the server.

        Raises NoIdleConnection if it would have to be waited for.
        """
        loan.idle_only = True
        try:
            self.take(loan)
        finally:
            loan.idle_only = False

    # Checkin.

    def check_in(self, loan: Loan, keep: bool) -> None:
        """Take the loan's connection back, and let the next have its permit."""
        connection, fairy = loan.connection, loan.fairy
        if connection is not None and fairy is not None:
            queue = self._store.queue
            kept = (
                keep
                and not self.is_disposed
                and loan.queue is queue
                and self._cleaning.cleans(connection)
            )
            if not kept:
                loan.ends_as = CLOSED
            now = time.monotonic()
            self.numbers.given_back(now - loan.since, connection.slot)
            if self._overdue is not None:
                self._overdue.judge(loan, now)
            connection.idle_since = now
            if kept:
                try:
                    fairy.close()
                except BaseException:
                    self._store.renew(queue)
                    raise
            else:
                if connection.closed_for is None:
                    connection.closed_for = self._why_closed(loan, connection, keep)
                self._connector.close(connection, fairy, loan.queue)
            if loan.requester is None:
                outsiders.discard(loan)
        self.gate.release(loan)

    def _why_closed(self, loan: Loan, connection: Connection, keep: bool) -> str:
        if self.is_disposed or loan.queue is not self._store.queue:
            return "disposed"
        if connection.is_doubtful:
            return "doubtful"
        return "dirty" if keep else "discarded"

    def drop(self, loan: Loan) -> None:
        """Do what is left of that after an interrupt, without the connection."""
        loan.ends_as = CLOSED
        outsiders.discard(loan)
        connection, fairy = loan.connection, loan.fairy
        try:
            if connection is not None and fairy is not None:
                connection.is_clean = False
                connection.closed_for = connection.closed_for or "doubtful"
                if fairy.is_valid:
                    self._connector.discard(fairy, loan.queue)
                connection.close()
        finally:
            self.gate.release(loan)

    def cleans(self, connection: Connection) -> bool:
        """Make *connection* fit for its next user; ``False`` if that cannot be done."""
        return not self.is_disposed and self._cleaning.cleans(connection)

    def needs_cleaning(self, connection: Connection) -> bool:
        """Whether making *connection* fit for its next user takes a round trip."""
        return self._cleaning.needs_io(connection)

    # The whole.

    @property
    def granted(self) -> int:
        return self._connector.limit.now_granted

    def look_after(self, now: float) -> float | None:
        return self._connector.look_after(now)

    def dispose(self) -> None:
        """Close the idle connections now, and those that are out on their return."""
        self.is_disposed = True
        self._store.dispose()

    def abandon(self) -> None:
        """Give up what is lent, in a forked child: it is the parent's."""
        self.is_disposed = True
        for loan in self.lent():
            loan.over = True
            loan.borrower = None
            outsiders.discard(loan)
        self.numbers.leave()

    @property
    def checkouts(self) -> int:
        """How many connections have been lent so far."""
        return self.numbers.checkouts

    @property
    def asked(self) -> int:
        """How many have asked for one so far: they have it, wait, or were refused."""
        return self.numbers.checkouts + self.numbers.refusals + self.gate.waiting

    def checkedout(self) -> int:
        """How many connections are lent by QueuePool's own count."""
        return self._store.checkedout()

    def stats(self) -> PoolStats:
        """Tell what it is doing at this moment, and has done since it was made."""
        gate = self.gate
        lent = self.lent()
        resting = [loan for loan in lent if loan.resting_since() is not None]
        oldest = self.numbers.times[OLDEST]
        return to_stats(
            self.numbers.read(),
            granted=self.granted,
            in_use=len(lent),
            at_work=len(lent) - len(resting),
            on_call=sum(loan.is_on_call for loan in resting),
            idle=max(0, len(self._store.open) - len(lent)),
            waiting=gate.waiting,
            oldest_wait=max(0.0, gate.clock() - oldest) if oldest else 0.0,
            overloaded=gate.overloaded,
        )
