"""One database's QueuePool behind its gate."""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import MySQLdb
from sqlalchemy.pool import QueuePool

from .connection import NO_THREAD, Connection
from .exceptions import (
    CANNOT_CONNECT,
    PoolTimeout,
    Reason,
    ServerUnavailable,
    error_code,
)
from .gate import Gate, Permit, Refused
from .outage import Outage

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection

logger = logging.getLogger("pooled_db")

#: Connections end up to this share of `recycle` early, so that those opened together
#: do not all end together (HikariCP's maxLifetime does the same).
RECYCLE_JITTER = 0.1


class NoIdleConnection(Exception):
    """Only opening a connection would help, and the caller must not wait for that."""


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


class Lease:
    """One connection from checkout to checkin; it goes back exactly once."""

    __slots__ = ("__weakref__", "_permit", "connection", "pool")

    def __init__(self, pool: Pool, permit: Permit, connection: Connection) -> None:
        self.pool = pool
        self.connection = connection
        self._permit = permit

    def __repr__(self) -> str:
        state = "out" if self.is_out else "given back"
        return f"<Lease of {self.pool.alias!r}: {state}>"

    def __del__(self) -> None:
        if self.is_out and not sys.is_finalizing():
            logger.warning(
                "A connection to %r was never given back; it is closed now.",
                self.pool.alias,
            )
            self.discard()

    @property
    def is_out(self) -> bool:
        return self._permit in self.pool.out

    def needs_cleaning(self) -> bool:
        """Whether giving it back takes a round trip to the server."""
        connection = self.connection
        return connection.in_query or self.pool.needs_cleaning(connection)

    def checkin(self) -> None:
        """Give the connection back: clean, or closed if that is in doubt.

        If another thread is still inside a statement, the connection is closed, and
        its permit given back, when that thread comes out.
        """
        if self.is_out and self.connection.revoke(self._close):
            self._give_back(may_keep=True)

    def discard(self) -> None:
        """Close the connection instead of giving it back for others to use."""
        if self.is_out and self.connection.revoke(self._close):
            self._close()

    def _close(self) -> None:
        self._give_back(may_keep=False)

    def _give_back(self, *, may_keep: bool) -> None:
        # Of several threads one gets it: dict.pop is atomic.
        fairy = self.pool.out.pop(self._permit, None)
        if fairy is None:
            return
        keep = False
        try:
            keep = may_keep and self.pool.clean(self.connection)
        finally:
            try:
                if keep:
                    fairy.close()
                else:
                    fairy.invalidate()
            finally:
                self.pool.give_back(self._permit)


class Pool:
    """Connections to one database: at most ``pool_size + max_overflow`` at a time.

    The gate decides who is next and QueuePool keeps the connections. There are as many
    permits as QueuePool may open connections, so QueuePool itself never waits.

    *connect* opens a connection; *autocommit* is the mode in which connections are
    lent. Times are in seconds.

    *reset* says what happens to a session before its next user gets it: ``"dirty"``
    makes it new if a statement may have changed it, ``"always"`` in any case, and
    ``"rollback"`` only ends what transaction may be open.
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
        use_lifo: bool = False,
        echo: bool | str = False,
        max_waiting: int | None = None,
        queue_target: float | None = None,
        queue_interval: float = 1.0,
        reset: str = "dirty",
        autocommit: bool = True,
    ) -> None:
        self.alias = alias
        self.reset = reset
        self.timeout = timeout
        self.recycle = recycle
        self.autocommit = autocommit
        self.gate = Gate(
            pool_size + max_overflow,
            max_waiting=max_waiting,
            queue_target=queue_target,
            queue_interval=queue_interval,
        )
        self._connect = connect
        self._outage = Outage()
        self._idle_only = threading.local()
        self._queue = QueuePool(
            cast("Any", self._open),
            pool_size=pool_size,
            max_overflow=max_overflow,
            use_lifo=use_lifo,
            echo=cast("Any", echo),
            timeout=0,
            reset_on_return=None,
        )
        #: What is lent. It is kept here because SQLAlchemy puts a connection whose
        #: proxy is collected back into its pool, as it is.
        self.out: dict[Permit, PoolProxiedConnection] = {}
        self.is_disposed = False
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
            self._refuse_too_old(age)
            self.gate.acquire(permit, self.timeout - age)
        except Refused as refusal:
            raise self._refusal(refusal, age) from None

    async def admit_async(self, permit: Permit, age: float = 0.0) -> None:
        """Wait in this task until *permit* is held; otherwise as `admit`."""
        try:
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

        Raises PoolTimeout, ServerUnavailable, or the driver's error if connecting
        fails for a reason that waiting does not cure.
        """
        permit = Permit()
        try:
            self.admit(permit)
            return self.take(permit)
        except BaseException:
            self.give_back(permit)
            raise

    def take(self, permit: Permit, *, idle_only: bool = False) -> Lease:
        """Take a connection for *permit*, which is held: an idle one, or a new one.

        With *idle_only* nothing is waited for: NoIdleConnection says that a new one
        would have to be opened. The permit stays held if this fails.
        """
        self._idle_only.flag = idle_only
        try:
            while True:
                fairy = self._queue.connect()
                connection = cast("Connection", fairy.dbapi_connection)
                if connection.fresh or (
                    connection.expires > time.monotonic() and connection.is_alive()
                ):
                    break
                # The empty slot goes to the end of the queue, so that the other idle
                # connections are tried first and a new one is opened last.
                fairy.invalidate()
        finally:
            self._idle_only.flag = False
        connection.fresh = False
        self._checkouts += 1
        self.out[permit] = fairy
        return Lease(self, permit, connection)

    def clean(self, connection: Connection) -> bool:
        """Make *connection* fit for its next user; ``False`` if that cannot be done."""
        if self.is_disposed or connection.is_doubtful or not connection.is_drained():
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
        if connection.is_dirty or self.reset == "always" or not self.autocommit:
            return True
        try:
            return not connection.get_autocommit()
        except MySQLdb.Error:
            return True  # another thread has it just now

    def _open(self) -> Connection:
        if getattr(self._idle_only, "flag", False):
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
        return connection

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

    def checkedout(self) -> int:
        """How many connections QueuePool itself counts as lent."""
        return self._queue.checkedout()

    def stats(self) -> PoolStats:
        gate = self.gate
        return PoolStats(
            limit=gate.capacity,
            in_use=len(self.out),
            idle=self._queue.checkedin(),
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
