"""What opens a pool's connections, keeps them, and says which may be lent."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import MySQLdb
from sqlalchemy.exc import TimeoutError as NoSlot

from ..driver.connection import Connection
from ..driver.errors import error_code, has_no_room, why_not_connected
from ..exceptions import Reason, ServerUnavailable
from .gate import Gate
from .limit import Limit
from .loan import Loan
from .nodes import Nodes
from .numbers import Numbers
from .outage import (
    LONGEST_PAUSE_FOR_ROOM,
    Outages,
    pause_beside,
)
from .permit import Refused
from .share import Share, Siblings
from .store import NoIdleConnection, Store, Vacant
from .surplus import Surplus
from .turnover import Turnover
from .upkeep import upkeep

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection, QueuePool

#: For how long a ping is awaited, in seconds, if the caller has that much time.
LONGEST_PING = 1.0


class Owner(Protocol):
    """The pool, as what opens its connections knows it."""

    alias: str
    connect: Callable[[], Connection]
    ping_after: float | None
    gate: Gate
    numbers: Numbers
    is_disposed: bool
    #: Told of each connection that is opened, and of each that is closed, and why.
    on_opened: Callable[[Connection], None] | None
    on_closed: Callable[[Connection, str], None] | None

    def look_after(self, now: float) -> float | None:
        """Do what is due, and return when to come again; ``None`` for never."""


class Connector:
    """The connections of *pool*: it opens them, judges the idle ones, and closes them.

    It minds whether the server is away, how many it grants, which nodes may be used
    and for how long, and what the pool can give up.
    """

    def __init__(
        self,
        pool: Owner,
        *,
        pool_size: int,
        max_overflow: int,
        use_lifo: bool,
        echo: bool | str,
        recycle: float,
        max_idle: float | None,
        check_on_connect: str | None,
        siblings: Siblings,
    ) -> None:
        self._pool = pool
        #: What each thread opens a connection for (``loan``), and why it got none
        #: (``failure``).
        self.here = threading.local()
        self.store = Store(
            self._connect_new,
            self._has_opened,
            self._closed,
            pool_size=pool_size,
            max_overflow=max_overflow,
            use_lifo=use_lifo,
            echo=echo,
        )
        self.outages = Outages()
        self.limit = Limit(pool.alias, pool.gate, lambda: len(self.store.open))
        self.turnover = Turnover(recycle)
        self.nodes = Nodes(check_on_connect)
        share = Share(self.store, self.limit, pool.gate, siblings)
        self.surplus = Surplus(self.store, share, max_idle)

    # Taking.

    def take_from(self, queue: QueuePool, loan: Loan) -> PoolProxiedConnection:
        """Take an idle connection out of *queue*, or open one."""
        with contextlib.suppress(NoSlot):
            return queue.connect()
        return self.open_another(queue, loan)

    def open_another(self, queue: QueuePool, loan: Loan) -> PoolProxiedConnection:
        """Take a connection for *loan*, though *queue* had none to give."""
        if not loan.idle_only:
            self.here.loan = loan
            try:
                return self.store.open_another(queue)
            finally:
                self.here.loan = None
        parked = self.store.take_parked(queue)
        if parked is None:
            self.here.failure = none = NoIdleConnection()
            raise none from None
        return parked

    def is_fit(self, connection: Connection, loan: Loan) -> bool:
        """Whether *connection* may be lent for *loan*, which begins now.

        Raises NoIdleConnection if that takes a round trip and the loan must not wait,
        and Refused if it has taken all the time there was.
        """
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
            if connection.expires and self.outages.of(loan.destination).is_known:
                return True  # there may be no other
            connection.closed_for = "recycled"
            return False
        ping_after = self._pool.ping_after
        if ping_after is None or now - connection.idle_since < ping_after:
            return True
        return self._answers(connection, loan, now)

    def _answers(self, connection: Connection, loan: Loan, now: float) -> bool:
        if loan.idle_only:
            raise NoIdleConnection
        loan.pings += 1
        answers = connection.answers(min(LONGEST_PING, max(0.0, loan.deadline - now)))
        loan.since = now = time.monotonic()
        if answers:
            return True
        connection.closed_for = "dead"
        if now >= loan.deadline:
            raise Refused(Reason.TIMEOUT, now - loan.arrived)
        return False

    def may_wait(self, loan: Loan, error: ServerUnavailable) -> bool:
        """Whether there is, or is about to be, what *loan* could wait for."""
        if has_no_room(error) and self.limit.waits_for_room:
            return True
        return bool(self.others(loan, error))

    def others(self, loan: Loan, error: ServerUnavailable) -> int:
        """How many connections there are that *loan* could have, or their room."""
        there: list[Connection | Loan] = [*self.store.open, *self.limit.opening]
        if has_no_room(error):
            return len(there)
        return sum(one.destination == loan.destination for one in there)

    # Opening, in the thread that takes a connection.

    def _connect_new(self) -> Connection:
        # Whoever takes an idle connection tells nobody for what loan: that is asked for
        # only here, where it saves nothing.
        loan = getattr(self.here, "loan", None)
        if loan is None:
            raise Vacant
        try:
            self.store.raise_if_parked()
            connection = self._open(loan)
        except BaseException as error:
            self.here.failure = error
            raise
        if connection.destination == loan.destination:
            connection.destination = loan.destination  # soon told again
        connection.alias = self._pool.alias
        connection.is_opened()
        connection.rested = now = time.monotonic()
        connection.expires = self.turnover.end_of(now)
        return connection

    def _open(self, loan: Loan) -> Connection:
        outage = self.outages.of(loan.destination)
        if not outage.is_known:
            self.limit.opening.add(loan)
        begun = time.monotonic()
        try:
            connection = outage.connect(
                lambda: self.nodes.open_fit(loan.opening or self._pool.connect),
                self._longest_pause,
            )
        except MySQLdb.OperationalError as error:
            self.limit.opening.discard(loan)
            why = why_not_connected(error)
            if why is None:
                raise
            unavailable = ServerUnavailable(*error.args)
            unavailable.alias = self._pool.alias
            unavailable.why = why
            if not has_no_room(error):
                self.turnover.failed(list(self.store.open))
            if self.others(loan, unavailable) or not self.limit.others():
                why = f"{why} (error {error_code(error)})"
                no_room = has_no_room(error)
                self.limit.failed(outage.retry_at, why, no_room=no_room)
                if no_room:
                    self._pool.numbers.had_no_room(time.monotonic())
                self._pool.numbers.granted(self.limit.now_granted)
            raise unavailable from error
        self._pool.numbers.connected(time.monotonic() - begun)
        return connection

    def _longest_pause(self, error: MySQLdb.OperationalError) -> float | None:
        if not has_no_room(error):
            return None  # what is open may be dead, too
        if self.store.open:
            return pause_beside(len(self.store.open))
        return LONGEST_PAUSE_FOR_ROOM

    def _has_opened(self, connection: Connection) -> None:
        """Count a connection that QueuePool has, before its opening counts no more."""
        pool = self._pool
        self.limit.opening.discard(self.here.loan)
        self.limit.opened()
        pool.numbers.granted(self.limit.now_granted)
        connection.slot = pool.numbers.occupy(connection.thread_id())
        if pool.on_opened is not None:
            pool.on_opened(connection)
        if connection.is_at_new_address:
            self.turnover.spread(list(self.store.open))
        if self.surplus.is_watched:
            upkeep.watch(pool, self.surplus.first_look(time.monotonic()))

    # Closing.

    def close(
        self,
        connection: Connection,
        fairy: PoolProxiedConnection,
        queue: QueuePool | None,
    ) -> None:
        """Close what a loan has given back, and see what it says of the server."""
        self.discard(fairy, queue)
        if self._pool.gate.lock.locked():
            # Perhaps by this very thread, in which a finalizer has come here: it must
            # not wait. What others need to know is seen again soon.
            return
        if connection.met_no_room:
            self.limit.failed_late("the proxy's server has no room")
        elif connection.makes_room:
            self.limit.leave_room()

    def discard(self, fairy: PoolProxiedConnection, queue: QueuePool | None) -> None:
        """Close the connection of *fairy*, which is out of *queue*."""
        self.store.discard(fairy, queue)
        if self.limit.granted is not None:
            self.outages.may_end()  # there is room for one now

    def _closed(self, connection: Connection) -> None:
        """Note that the store has closed *connection*."""
        pool = self._pool
        slot, connection.slot = connection.slot, None
        if slot is not None:
            pool.numbers.vacate(slot)
        why = connection.closed_for
        if why == "dead":
            self.turnover.failed(list(self.store.open))
            self.nodes.leave(connection.node, list(self.store.open))
        why = why or ("disposed" if pool.is_disposed else "overflow")
        pool.numbers.closed(why)
        if pool.on_closed is not None:
            pool.on_closed(connection, why)

    def look_after(self, now: float) -> float | None:
        """Close idle connections that were not needed lately, and make room for others.

        Called in a thread of its own. Returns when to come again.
        """
        if self._pool.is_disposed:
            return None
        return self.surplus.look_after(now)
