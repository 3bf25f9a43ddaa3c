"""One database's QueuePool behind its gate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import MySQLdb
from sqlalchemy.exc import TimeoutError as NoSlot

from ..driver.connection import Connection
from ..driver.errors import error_code, has_no_room, why_not_connected
from ..exceptions import PoolTimeout, Reason, ServerUnavailable
from .cleaning import Cleaning
from .destination import Destination
from .gate import Gate
from .holders import Holders
from .limit import Limit
from .loan import Loan
from .nodes import Nodes
from .numbers import LIMIT, OLDEST, Numbers, to_stats
from .on_call import OnCall
from .origin import origin
from .outage import (
    LONGEST_PAUSE,
    LONGEST_PAUSE_FOR_ROOM,
    LONGEST_PAUSE_OF_MORE,
    PAUSE_FOR_EACH,
    Outages,
)
from .overdue import Overdue
from .permit import ADMITTED, CLOSED, READY, RETURNED, TAKING, Refused
from .stall import begin_waiting, end_waiting, is_stalled
from .stats import PoolStats
from .store import NoIdleConnection, Store
from .surplus import Surplus
from .thread_end import give_back_at_thread_end
from .turn import BorrowerRef, Turn
from .turnover import Turnover
from .upkeep import upkeep

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection, QueuePool

#: By how many seconds the clock of a proxy may be wrong before it makes a request look
#: as if it had waited.
CLOCKS_DIFFER = 0.5
#: For how long a ping is awaited, in seconds, if the caller has that much time.
LONGEST_PING = 1.0


#: Where a loan is to lead, and what opens a connection there.
Leading = tuple[Destination, Callable[[], Connection]]
#: What threads have taken for themselves, outside of requests, from whatever pool.
outsiders: set[Loan] = set()


class Pool:
    """Connections to one database: at most ``pool_size + max_overflow`` at a time.

    The gate decides who is next and QueuePool keeps the connections. There are as many
    permits as QueuePool may open connections, so QueuePool itself never waits.

    *connect* opens a connection to *home*, where loans lead if not told otherwise; what
    it opens knows where that is. *autocommit*
    is the mode in which connections are lent. Times are in seconds.

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
    ) -> None:
        self.alias = alias
        self.numbers: Numbers = Numbers() if numbers is None else numbers
        self.home = home
        self.timeout = timeout
        self.recycle = recycle
        self.ping_after = ping_after
        self.lends_by_transaction: bool = hold == "transaction"
        self.gate: Gate = Gate(
            pool_size + max_overflow,
            max_waiting=max_waiting,
            queue_target=queue_target,
            queue_interval=queue_interval,
            reserved_share=reserved_share,
            crowd=crowd,
            on_call=OnCall(self.numbers.was_called_back),
            on_line=self.numbers.line_is,
        )
        self.numbers.words[LIMIT] = self.gate.capacity
        self.numbers.granted(self.gate.capacity)
        self.connect = connect
        self._limit = Limit(alias, self.gate, lambda: len(self._store.open))
        self._cleaning = Cleaning(reset, autocommit, self.numbers)
        self._outages = Outages()
        self._turnover = Turnover(recycle)
        self._nodes = Nodes(check_on_connect)
        self._here = threading.local()
        self._store = Store(
            self._connect_new,
            self._has_opened,
            self._closed,
            pool_size=pool_size,
            max_overflow=max_overflow,
            use_lifo=use_lifo,
            echo=echo,
        )
        self._surplus = Surplus(self._store, self._limit, self.gate, max_idle)
        #: What is lent. SQLAlchemy puts a connection whose proxy is collected back into
        #: its pool, as it is: so the loans, which have the proxies, are kept.
        self.lent: set[Loan] = set()
        self._holders = Holders(self.lent)
        self.warns: bool = warn_after is not None
        self._overdue = (
            None if warn_after is None else Overdue(alias, warn_after, self.lent)
        )
        #: Told of each connection that is opened, and of each that is closed, and why.
        self.on_opened: Callable[[Connection], None] | None = None
        self.on_closed: Callable[[Connection, str], None] | None = None
        self.is_disposed: bool = False

    def __repr__(self) -> str:
        stats = self.stats()
        return (
            f"<Pool {self.alias!r}: {stats.in_use} in use, {stats.idle} idle, "
            f"{stats.waiting} waiting, limit {stats.limit}>"
        )

    # Admission.

    def admit(self, loan: Loan, age: float = 0.0, instead: Loan | None = None) -> Loan:
        """Wait in this thread until *loan* has its permit, and return it.

        *age* is for how many seconds the request has waited elsewhere. *instead* is
        another loan of the same request: if it comes to rest earlier, it is returned,
        and its user is who *loan* was made for. Raises PoolTimeout if it all takes too
        long, or can never be.
        """
        try:
            if age:
                self._refuse_too_old(age)
                loan.waited_before = max(0.0, age - CLOCKS_DIFFER)
            if loan.begun:
                return self._admit_begun(loan, instead)
            if not self.gate.enter(loan, self.timeout - age):
                self.gate.wait(loan)
            return loan
        except Refused as refusal:
            raise self._refusal(refusal, loan, age) from None

    def _admit_begun(self, loan: Loan, instead: Loan | None) -> Loan:
        turn: Turn | None = None
        if instead is not None:
            turn = Turn(threading.get_ident(), loan.borrower, loan)
            if not instead.queue_up(turn):
                turn = None

        def before_waiting() -> None:
            begin_waiting(loan)
            if is_stalled(loan):
                raise Refused(Reason.STALLED, 0.0)

        try:
            self.gate.acquire(loan, self.timeout, before_waiting)
        except BaseException:
            if instead is not None and turn is not None:
                instead.leave_line(turn)
            raise
        finally:
            end_waiting(loan)
        if instead is None or turn is None or not turn.granted:
            return loan
        return instead

    async def admit_async(self, loan: Loan, age: float = 0.0) -> None:
        """Wait in this task until *loan* has its permit; otherwise as `admit`."""
        try:
            if age:
                self._refuse_too_old(age)
                loan.waited_before = max(0.0, age - CLOCKS_DIFFER)
            await self.gate.acquire_async(loan, self.timeout - age)
        except Refused as refusal:
            raise self._refusal(refusal, loan, age) from None

    def _refuse_too_old(self, age: float) -> None:
        """Refuse who has waited elsewhere for all of its time, free permit or not."""
        if age >= self.timeout:
            raise Refused(Reason.TIMEOUT, 0.0)

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
                    if not mine:
                        return
                if not loan.over:
                    self._here.loan = loan
                    try:
                        fairy = queue.connect()
                    except NoSlot:
                        fairy = self._open_another(queue)
                    while not self._is_fit(fairy.dbapi_connection, loan):  # type: ignore[arg-type]
                        self._discard(fairy, queue)
                        fairy = None
                        fairy = self._from(queue)
                    connection: Connection = fairy.dbapi_connection  # type: ignore[assignment]
                    connection.lent_for(loan)
                    loan.fairy, loan.queue = fairy, queue
                    loan.connection = connection
                    self.lent.add(loan)
                    self.numbers.lent(
                        loan.waited, len(self.lent), loan.since, connection.slot
                    )
                    if self._overdue is not None:
                        self._overdue.pass_by(loan.since)
                break
            except BaseException as error:
                if mine:
                    self._take_no_more(loan, fairy, queue, error)
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
        self.lent.discard(loan)
        self._limit.opening.discard(loan)
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

    def _from(self, queue: QueuePool) -> PoolProxiedConnection:
        try:
            return queue.connect()
        except NoSlot:
            return self._open_another(queue)

    def _open_another(self, queue: QueuePool) -> PoolProxiedConnection:
        if not self._idle_only:
            return self._store.open_another(queue)
        parked = self._store.take_parked(queue)
        if parked is None:
            self._here.failure = none = NoIdleConnection()
            raise none from None
        return parked

    def _wait_for_others(self, loan: Loan, error: ServerUnavailable) -> None:
        """Wait for a permit once more, if there are connections to wait for."""
        if not self._others(loan, error):
            self.numbers.refused(Reason.UNAVAILABLE)
            raise error
        try:
            self.gate.acquire_again(loan)
        except Refused as refusal:
            if not self._others(loan, error):
                self.numbers.refused(Reason.UNAVAILABLE)
                raise error from None
            raise self._refusal(refusal, loan, 0.0) from None

    def _others(self, loan: Loan, error: ServerUnavailable) -> int:
        """How many connections there are that *loan* could have, or their room."""
        there: list[Connection | Loan] = [*self._store.open, *self._limit.opening]
        if has_no_room(error):
            return len(there)
        return sum(one.destination == loan.destination for one in there)

    def _is_fit(self, connection: Connection, loan: Loan) -> bool:
        if connection.fresh:
            connection.fresh = False
            loan.is_new = True
            loan.destination = connection.destination
            loan.since = time.monotonic()
            return True
        if (
            connection.destination is not loan.destination
            and connection.destination != loan.destination
        ):
            connection.closed_for = "moved"
            return False
        loan.since = now = time.monotonic()
        if not connection.is_clean:
            connection.closed_for = "doubtful"
            return False
        if not connection.is_alive():
            connection.closed_for = "dead"
            return False
        if connection.expires <= now:
            if connection.expires and self._outages.of(loan.destination).is_known:
                return True  # there may be no other
            connection.closed_for = "recycled"
            return False
        if self.ping_after is None or now - connection.idle_since < self.ping_after:
            return True
        if self._idle_only:
            raise NoIdleConnection
        loan.pings += 1
        answers = connection.answers(min(LONGEST_PING, max(0.0, loan.deadline - now)))
        loan.since = now = time.monotonic()
        if answers:
            return True
        connection.closed_for = "dead"
        if now >= loan.deadline:
            refusal = Refused(Reason.TIMEOUT, now - loan.arrived)
            raise self._refusal(refusal, loan, 0.0)
        return False

    def take_idle(self, loan: Loan) -> None:
        """Do the same without waiting for the server.

        Raises NoIdleConnection if it would have to be waited for.
        """
        self._here.idle_only = True
        try:
            self.take(loan)
        finally:
            self._here.idle_only = False

    @property
    def _idle_only(self) -> bool:
        return getattr(self._here, "idle_only", False)

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
            loan.ends_as = RETURNED if kept else CLOSED
            now = time.monotonic()
            self.numbers.given_back(now - loan.since, connection.slot)
            if self._overdue is not None:
                self._overdue.judge(loan, now)
            if self.ping_after is not None:
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
                self._close(connection, fairy, loan.queue)
            self.lent.discard(loan)
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
        self.lent.discard(loan)
        outsiders.discard(loan)
        connection, fairy = loan.connection, loan.fairy
        try:
            if connection is not None and fairy is not None:
                connection.is_clean = False
                connection.closed_for = connection.closed_for or "doubtful"
                if fairy.is_valid and loan.queue is self._store.queue:
                    self._discard(fairy, loan.queue)
                connection.close()
        finally:
            self.gate.release(loan)

    def _close(
        self,
        connection: Connection,
        fairy: PoolProxiedConnection,
        queue: QueuePool | None,
    ) -> None:
        self._discard(fairy, queue)
        if connection.met_no_room:
            self._limit.failed_late("the proxy's server has no room")
        elif connection.makes_room:
            self._limit.leave_room()

    def _discard(self, fairy: PoolProxiedConnection, queue: QueuePool | None) -> None:
        self._store.discard(fairy, queue)
        if self._limit.granted is not None:
            self._outages.may_end()  # there is room for one now

    def cleans(self, connection: Connection) -> bool:
        """Make *connection* fit for its next user; ``False`` if that cannot be done."""
        return not self.is_disposed and self._cleaning.cleans(connection)

    def needs_cleaning(self, connection: Connection) -> bool:
        """Whether making *connection* fit for its next user takes a round trip."""
        return self._cleaning.needs_io(connection)

    def _connect_new(self) -> Connection:
        try:
            self._store.raise_if_parked()
            if self._idle_only:
                raise NoIdleConnection
            connection = self._open(self._here.loan)
        except BaseException as error:
            self._here.failure = error
            raise
        if connection.destination == self._here.loan.destination:
            connection.destination = self._here.loan.destination  # soon told again
        connection.alias = self.alias
        connection.rested = now = time.monotonic()
        connection.expires = self._turnover.end_of(now)
        return connection

    def _closed(self, connection: Connection) -> None:
        """Note that the store has closed *connection*."""
        slot, connection.slot = connection.slot, None
        if slot is not None:
            self.numbers.vacate(slot)
        why = connection.closed_for
        if why == "dead":
            self._turnover.failed(list(self._store.open))
            self._nodes.leave(connection.node, list(self._store.open))
        why = why or ("disposed" if self.is_disposed else "overflow")
        self.numbers.closed(why)
        if self.on_closed is not None:
            self.on_closed(connection, why)

    def _open(self, loan: Loan) -> Connection:
        outage = self._outages.of(loan.destination)
        if not outage.is_known:
            self._limit.opening.add(loan)
        begun = time.monotonic()
        try:
            connection = outage.connect(
                lambda: self._nodes.open_fit(loan.opening or self.connect),
                self._longest_pause,
            )
        except MySQLdb.OperationalError as error:
            self._limit.opening.discard(loan)
            why = why_not_connected(error)
            if why is None:
                raise
            unavailable = ServerUnavailable(*error.args)
            unavailable.alias = self.alias
            unavailable.why = why
            if not has_no_room(error):
                self._turnover.failed(list(self._store.open))
            if self._others(loan, unavailable) or not self._limit.others():
                why = f"{why} (error {error_code(error)})"
                self._limit.failed(outage.retry_at, why)
                self.numbers.granted(self._limit.now_granted)
            raise unavailable from error
        self.numbers.connected(time.monotonic() - begun)
        return connection

    def _longest_pause(self, error: MySQLdb.OperationalError) -> float:
        if self._store.open:
            return min(len(self._store.open) * PAUSE_FOR_EACH, LONGEST_PAUSE_OF_MORE)
        return LONGEST_PAUSE_FOR_ROOM if has_no_room(error) else LONGEST_PAUSE

    def _has_opened(self, connection: Connection) -> None:
        """Count a connection that QueuePool has, before its opening counts no more."""
        self._limit.opening.discard(self._here.loan)
        self._limit.opened()
        self.numbers.granted(self._limit.now_granted)
        connection.slot = self.numbers.occupy(connection.thread_id())
        if self.on_opened is not None:
            self.on_opened(connection)
        if connection.is_at_new_address:
            self._turnover.spread(list(self._store.open))
        if self._surplus.is_watched:
            upkeep.watch(self, self._surplus.first_look(time.monotonic()))

    def look_after(self, now: float) -> float | None:
        """Close idle connections that were not needed lately, and make room for others.

        Called in a thread of its own. Returns when to come again.
        """
        if self.is_disposed:
            return None
        self._here.idle_only = True
        return self._surplus.look_after(now)

    # The whole.

    def dispose(self) -> None:
        """Close the idle connections now, and those that are out on their return."""
        self.is_disposed = True
        self._store.dispose()

    def abandon(self) -> None:
        """Give up what is lent, in a forked child: it is the parent's."""
        self.is_disposed = True
        self._parents = self.lent
        for loan in self.lent:
            loan.over = True
            loan.borrower = None
            outsiders.discard(loan)
        self.lent = set()
        self._holders = Holders(self.lent)
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
        gate = self.gate
        lent = list(self.lent)
        resting = [loan for loan in lent if loan.resting_since() is not None]
        oldest = self.numbers.times[OLDEST]
        return to_stats(
            self.numbers.read(),
            limit=gate.capacity,
            granted=self._limit.now_granted,
            in_use=len(lent),
            at_work=len(lent) - len(resting),
            on_call=sum(loan.is_on_call for loan in resting),
            idle=max(0, len(self._store.open) - len(lent)),
            waiting=gate.waiting,
            oldest_wait=max(0.0, gate.clock() - oldest) if oldest else 0.0,
            overloaded=gate.overloaded,
        )

    def refuse_turn(self, loan: Loan, waited: float) -> PoolTimeout:
        """Make the error of whoever waited in vain for its turn with *loan*."""
        return self._refusal(Refused(Reason.TIMEOUT, waited), loan, 0.0)

    def _refusal(self, refusal: Refused, loan: Loan, age: float) -> PoolTimeout:
        self.numbers.refused(refusal.reason)
        if self._overdue is not None:
            self._overdue.pass_by(time.monotonic())
        return PoolTimeout(
            self.alias,
            refusal.reason,
            refusal.waited + age - loan.waited_before,
            self.gate.capacity - self.gate.free,
            self._limit.now_granted,
            self.gate.waiting,
            *self._holders.described_for(loan),
        )
