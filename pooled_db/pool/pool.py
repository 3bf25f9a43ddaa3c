"""One database's QueuePool behind its gate."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import MySQLdb
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from ..driver.connection import NO_THREAD, Connection
from ..driver.errors import CANNOT_CONNECT, error_code
from ..exceptions import PoolTimeout, Reason, ServerUnavailable
from .gate import Gate
from .lease import Lease
from .origin import origin
from .outage import Outage
from .permit import Permit, Refused
from .thread_end import give_back_at_thread_end

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection

#: Connections end up to this share of `recycle` early, so that those opened together
#: do not all end together (HikariCP's maxLifetime does the same).
RECYCLE_JITTER = 0.1
#: For how long a ping is awaited, in seconds, if the caller has that much time.
LONGEST_PING = 1.0


class NoIdleConnection(Exception):
    """The server would have to be asked, and the caller must not wait for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """What a pool is doing at one moment, and has done since it was made.

    ``limit`` is the most connections there can be, ``in_use`` how many are lent,
    ``idle`` how many lie in the pool, ``waiting`` who queues for one.
    """

    limit: int
    in_use: int
    idle: int
    waiting: int
    overloaded: bool
    opened: int
    checkouts: int
    refused: int


class Pool:
    """Connections to one database: at most ``pool_size + max_overflow`` at a time.

    The gate decides who is next and QueuePool keeps the connections. There are as many
    permits as QueuePool may open connections, so QueuePool itself never waits.

    *connect* opens a connection to *database*, whatever stands for that; *autocommit*
    is the mode in which connections are lent. Times are in seconds.

    *reset* says what happens to a session before its next user gets it: ``"dirty"``
    makes it new if a statement may have changed it, ``"always"`` in any case, and
    ``"rollback"`` only ends what transaction may be open.

    A connection that was idle for *ping_after* seconds is asked whether it works before
    it is lent, which is a round trip; ``None`` asks none.
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
        use_lifo: bool = False,
        echo: bool | str = False,
        max_waiting: int | None = None,
        queue_target: float | None = None,
        queue_interval: float = 1.0,
        reset: str = "dirty",
        autocommit: bool = True,
        database: object = None,
    ) -> None:
        self.alias = alias
        self.database = database
        self.reset = reset
        self.timeout = timeout
        self.recycle = recycle
        self.ping_after = ping_after
        self.autocommit = autocommit
        self.gate: Gate = Gate(
            pool_size + max_overflow,
            max_waiting=max_waiting,
            queue_target=queue_target,
            queue_interval=queue_interval,
        )
        self._connect = connect
        self._outage = Outage()
        self._here = threading.local()
        self._open: set[Any] = set()
        self._queue = QueuePool(
            cast("Any", self._connect_new),
            pool_size=pool_size,
            max_overflow=max_overflow,
            use_lifo=use_lifo,
            echo=cast("Any", echo),
            timeout=0,
            reset_on_return=None,
        )
        # QueuePool counts a slot whose connection was closed as one that is idle.
        event.listen(self._queue, "close", self._forget)
        #: What is lent. It is kept here because SQLAlchemy puts a connection whose
        #: proxy is collected back into its pool, as it is.
        self.out: dict[Permit, PoolProxiedConnection] = {}
        #: What of it threads have taken for themselves, not requests at their start.
        self.alone: set[Permit] = set()
        self.is_disposed: bool = False
        self._opened = 0
        self._checkouts = 0
        self._refused = 0

    def __repr__(self) -> str:
        stats = self.stats()
        return (
            f"<Pool {self.alias!r}: {stats.in_use} in use, {stats.idle} idle, "
            f"{stats.waiting} waiting, limit {stats.limit}>"
        )

    # Admission.

    def admit(self, permit: Permit, age: float = 0.0) -> None:
        """Wait in this thread until *permit* is held.

        *age* is for how many seconds the request has waited elsewhere. Raises
        PoolTimeout if it all takes too long.
        """
        try:
            if age:
                self._refuse_too_old(age)
            self.gate.acquire(permit, self.timeout - age)
        except Refused as refusal:
            raise self._refusal(refusal, age) from None

    async def admit_async(self, permit: Permit, age: float = 0.0) -> None:
        """Wait in this task until *permit* is held; otherwise as `admit`."""
        try:
            if age:
                self._refuse_too_old(age)
            await self.gate.acquire_async(permit, self.timeout - age)
        except Refused as refusal:
            raise self._refusal(refusal, age) from None

    def _refuse_too_old(self, age: float) -> None:
        """Refuse who has waited elsewhere for all of its time, free permit or not."""
        if age >= self.timeout:
            raise Refused(Reason.TIMEOUT, 0.0)

    def give_back(self, permit: Permit) -> None:
        """Let the next in line have *permit*."""
        self.gate.release(permit)

    # Checkout.

    def checkout(self) -> Lease:
        """Wait for a permit in this thread, then take a connection.

        If the thread ends without giving it back, that is done for it. Raises
        PoolTimeout, ServerUnavailable, or the driver's error if connecting fails for a
        reason that waiting does not cure.
        """
        permit = Permit()
        try:
            self.admit(permit)
            lease = self.take(permit)
        except BaseException:
            self.give_back(permit)
            raise
        lease.origin = origin()
        self.alone.add(permit)
        give_back_at_thread_end(lease)
        return lease

    def take(self, permit: Permit) -> Lease:
        """Take a connection for *permit*, which is held: an idle one, or a new one.

        The permit stays held if this fails.
        """
        while True:
            fairy = self._queue.connect()
            connection: Connection = fairy.dbapi_connection  # type: ignore[assignment]
            try:
                if connection.fresh or self._is_fit(connection, permit):
                    break
            except NoIdleConnection:
                fairy.close()
                raise
            except BaseException:
                fairy.invalidate()
                raise
            # The empty slot goes to the end of the queue, so that the other idle
            # connections are tried first and a new one is opened last.
            fairy.invalidate()
        connection.fresh = False
        connection.was_lent = False
        self._checkouts += 1
        self.out[permit] = fairy
        return Lease(self, permit, connection)

    def _is_fit(self, connection: Connection, permit: Permit) -> bool:
        now = time.monotonic()
        if connection.expires <= now or not connection.is_alive():
            return False
        if self.ping_after is None or now - connection.idle_since < self.ping_after:
            return True
        if self._idle_only:
            raise NoIdleConnection
        if connection.answers(min(LONGEST_PING, max(0.0, permit.deadline - now))):
            return True
        now = time.monotonic()
        if now >= permit.deadline:
            raise self._refusal(Refused(Reason.TIMEOUT, now - permit.arrived), 0.0)
        return False

    def take_idle(self, permit: Permit) -> Lease:
        """Do the same without waiting for the server.

        Raises NoIdleConnection if it would have to be waited for.
        """
        self._here.idle_only = True
        try:
            return self.take(permit)
        finally:
            self._here.idle_only = False

    @property
    def _idle_only(self) -> bool:
        return getattr(self._here, "idle_only", False)

    def clean(self, connection: Connection) -> bool:
        """Make *connection* fit for its next user; ``False`` if that cannot be done."""
        if self.is_disposed or connection.is_doubtful:
            return False
        if not connection.was_lent:
            return True
        if not connection.is_drained():
            return False
        if not self.needs_cleaning(connection):
            return True
        connection.lend(threading.get_ident())
        try:
            if self.reset == "always" or (
                self.reset == "dirty" and connection.is_dirty
            ):
                return connection.reset_session(self.autocommit)
            connection.rollback()
            connection.autocommit(self.autocommit)
            connection.is_dirty = False
        except MySQLdb.Error:
            return False
        finally:
            connection.lend(NO_THREAD)
        return True

    def needs_cleaning(self, connection: Connection) -> bool:
        """Whether making *connection* fit for its next user takes a round trip."""
        if not connection.was_lent:
            return False
        if connection.is_dirty or self.reset == "always" or not self.autocommit:
            return True
        try:
            return not connection.get_autocommit()
        except MySQLdb.Error:
            return True  # another thread has it just now

    def _connect_new(self) -> Connection:
        if self._idle_only:
            raise NoIdleConnection
        try:
            connection = self._outage.connect(self._connect)
        except MySQLdb.OperationalError as error:
            if error_code(error) in CANNOT_CONNECT:
                unavailable = ServerUnavailable(*error.args)
                unavailable.alias = self.alias
                raise unavailable from error
            raise
        connection.expires = time.monotonic() + self.recycle * (
            1.0 - RECYCLE_JITTER * random.random()
        )
        self._opened += 1
        self._open.add(connection)
        return connection

    def _forget(self, connection: Any, record: object) -> None:
        self._open.discard(connection)

    # The whole.

    def dispose(self) -> None:
        """Close the idle connections now, and those that are out on their return."""
        self.is_disposed = True
        # QueuePool.dispose() forgets the connections that are out, and its counters
        # are wrong from then on: this pool must not lend again.
        self._queue.dispose()

    def abandon(self) -> None:
        """Give up what is lent, in a forked child: it is the parent's."""
        self.is_disposed = True
        self._parents = self.out
        self.out = {}
        self.alone = set()

    def checkedout(self) -> int:
        """How many connections QueuePool itself counts as lent."""
        return self._queue.checkedout()

    def stats(self) -> PoolStats:
        gate = self.gate
        in_use = len(self.out)
        return PoolStats(
            limit=gate.capacity,
            in_use=in_use,
            idle=max(0, len(self._open) - in_use),
            waiting=gate.waiting,
            overloaded=gate.overloaded,
            opened=self._opened,
            checkouts=self._checkouts,
            refused=self._refused,
        )

    def _refusal(self, refusal: Refused, age: float) -> PoolTimeout:
        self._refused += 1
        return PoolTimeout(
            self.alias,
            refusal.reason,
            refusal.waited + age,
            self.gate.capacity - self.gate.free,
            self.gate.capacity,
            self.gate.waiting,
        )
