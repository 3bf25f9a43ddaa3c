"""What one request holds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar

import MySQLdb
from asgiref.sync import sync_to_async

from ..exceptions import ServerUnavailable
from ..pool.lease import Lease
from ..pool.permit import NEW, Permit
from ..pool.pool import NoIdleConnection, Pool

Key = TypeVar("Key")
Value = TypeVar("Value")


class Borrower(Protocol):
    """Who uses a lease: Django's DatabaseWrapper of one thread."""

    in_atomic_block: bool

    def detach(self) -> None:
        """Forget the connection, which is not the borrower's any more."""


class Scope:
    """The connections of one request, from its start to its end.

    Used by the request's threads and by its event loop; what a thread of the request
    takes after the end is not the scope's any more.

    What it holds is taken out of its dicts by ``pop``, which is atomic: who gets it
    answers for it. The lock is for what is put in, which must not miss the end.
    """

    __slots__ = (
        "__weakref__",
        "_admitted",
        "_lent",
        "_lock",
        "_ready",
        "at_door",
        "begun",
        "is_open",
        "streaming",
    )

    def __init__(self) -> None:
        self.is_open: bool = True
        #: Whether the request may have done something already.
        self.begun: bool = False
        #: Whether the middleware has returned and only the body is left.
        self.streaming: bool = False
        #: Whether it was opened before Django, and no middleware has taken it over yet.
        self.at_door: bool = False
        self._lock = threading.Lock()
        self._admitted: dict[Pool, Permit] = {}
        self._ready: dict[str, Lease] = {}
        self._lent: dict[Lease, tuple[Borrower, int]] = {}

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Scope: {state}, {len(self._lent)} lent, {len(self._ready)} ready>"

    def __del__(self) -> None:
        # A body that was never closed. Nobody else has the scope, and a finalizer must
        # not wait for a lock or for the server.
        if not (self._admitted or self._ready or self._lent):
            return
        for pool, permit in self._admitted.items():
            pool.give_back(permit)
        for lease in [*self._ready.values(), *self._lent]:
            lease.discard()

    # At the start of the request.

    def admit(self, pool: Pool, age: float = 0.0) -> None:
        """Wait in this thread until *pool* lets the request in.

        *age* is for how many seconds the request has been on its way already. Raises
        PoolTimeout.
        """
        permit = Permit()
        try:
            pool.admit(permit, age)
            self._keep_permit(pool, permit)
        except BaseException:
            pool.give_back(permit)
            raise

    async def admit_async(self, pool: Pool, age: float = 0.0) -> None:
        """Wait until *pool* lets the request in, blocking no thread."""
        permit = Permit()
        try:
            await pool.admit_async(permit, age)
            self._keep_permit(pool, permit)
        except BaseException:
            pool.give_back(permit)
            raise

    def is_admitted(self, pool: Pool) -> bool:
        """Whether *pool* has let the request in, and no more than that."""
        return pool in self._admitted

    def check_out(
        self, pool: Pool, age: float = 0.0, *, only_admitted: bool = False
    ) -> None:
        """Take a connection, and keep it ready; be admitted first if need be.

        With *only_admitted* nothing is done if the admission has gone: the request may
        be over. What no waiting cures, such as a wrong password, is left to the first
        query. Then it is an error as without a pool, and a page that asks nothing still
        works. Raises PoolTimeout or ServerUnavailable.
        """
        permit = self._admitted.pop(pool, None)
        if permit is None:
            if only_admitted:
                return
            permit = Permit()
        try:
            lease = self._take(pool, permit, age)
        except ServerUnavailable:
            raise
        except MySQLdb.Error:
            return
        self._keep(lease)

    def check_out_idle(self, pool: Pool) -> bool:
        """Do the same, admitted, without I/O: ``False`` if it would take some."""
        permit = self._admitted.pop(pool, None)
        if permit is None:
            return True
        try:
            lease = pool.take_idle(permit)
        except NoIdleConnection:
            self._keep_permit(pool, permit)
            return False
        except BaseException:
            pool.give_back(permit)
            raise
        self._keep(lease)
        return True

    def _take(self, pool: Pool, permit: Permit, age: float = 0.0) -> Lease:
        try:
            if permit.state is NEW:
                pool.admit(permit, age)
            return pool.take(permit)
        except BaseException:
            pool.give_back(permit)
            raise

    def _keep_permit(self, pool: Pool, permit: Permit) -> None:
        with self._lock:
            kept = self.is_open
            if kept:
                self._admitted[pool] = permit
        if not kept:
            pool.give_back(permit)

    def _keep(self, lease: Lease) -> None:
        with self._lock:
            kept = self.is_open
            if kept:
                self._ready[lease.pool.alias] = lease
        if not kept:
            lease.checkin()

    # During the request.

    def lend_ready(
        self, database: object, alias: str, borrower: Borrower
    ) -> Lease | None:
        """Return the connection that is ready, if it leads to *database*.

        That is the very object that the pool was made for: so the pool need not be
        looked up.
        """
        lease = self._ready.pop(alias, None)
        if lease is None:
            return None
        if lease.pool.database is not database:
            self._keep(lease)
            return None
        return self._lend(lease, borrower)

    def lease(self, pool: Pool, borrower: Borrower) -> Lease:
        """Return the connection that is ready, or wait for another in this thread.

        Raises what Pool.checkout raises.
        """
        lease = self._ready.pop(pool.alias, None)
        if lease is not None and lease.pool is pool:
            return self._lend(lease, borrower)
        if lease is not None:
            self._keep(lease)
        permit = self._admitted.pop(pool, None)
        lease = pool.checkout() if permit is None else self._take(pool, permit)
        return self._lend(lease, borrower)

    def _lend(self, lease: Lease, borrower: Borrower) -> Lease:
        with self._lock:
            if self.is_open:
                self._lent[lease] = borrower, threading.get_ident()
        self.begun = True
        return lease

    def forget(self, lease: Lease) -> None:
        """Drop *lease*, which its borrower has given back."""
        self._lent.pop(lease, None)

    def return_unused(self) -> None:
        """Give back what has not been used."""
        for pool, permit in _drain(self._admitted):
            pool.give_back(permit)
        _checkin_all([lease for _, lease in _drain(self._ready)])

    @property
    def in_atomic_block(self) -> bool:
        """Whether a borrower has a transaction open."""
        with self._lock:
            return any(borrower.in_atomic_block for borrower, _ in self._lent.values())

    @property
    def aliases(self) -> list[str]:
        """Whose connections are in use."""
        with self._lock:
            return sorted({lease.pool.alias for lease in self._lent})

    # At its end.

    def release(self) -> None:
        """Give every connection back; the next query takes one again."""
        here = threading.get_ident()
        if self._admitted or self._ready:
            self.return_unused()
        leases = []
        for lease, (borrower, thread) in _drain(self._lent):
            if thread == here:
                borrower.detach()
            elif borrower.in_atomic_block or lease.needs_cleaning():
                # That thread goes on after the request, in the middle of something:
                # the connection stays with it, as outside of any request.
                continue
            leases.append(lease)
        _checkin_all(leases)

    def close(self) -> None:
        """Give every connection back, once and for all."""
        with self._lock:
            self.is_open = False
        if _current.get() is self:
            _current.set(None)
        self.release()

    async def close_async(self) -> None:
        """Do the same on an event loop, which it does not block."""
        with self._lock:
            leases = [*self._ready.values(), *self._lent]
        if any(lease.needs_cleaning() for lease in leases):
            # There it takes a round trip, or has to await a running query. Shielded, so
            # that it happens even if this task is cancelled.
            await asyncio.shield(in_request_thread(self.close))
        else:
            self.close()


async def in_request_thread(function: Callable[[], None]) -> None:
    """Run *function* in the thread in which the request's ORM code runs."""
    await sync_to_async(function, thread_sensitive=True)()


def _drain(held: dict[Key, Value]) -> list[tuple[Key, Value]]:
    """Take everything out of *held*; what another thread takes is not in the list."""
    drained = []
    while held:
        try:
            drained.append(held.popitem())
        except KeyError:
            break
    return drained


def _checkin_all(leases: list[Lease]) -> None:
    """Check all of them in, even if one fails."""
    while leases:
        try:
            leases.pop().checkin()
        except BaseException:
            _checkin_all(leases)
            raise


_current: ContextVar[Scope | None] = ContextVar("pooled_db_scope", default=None)


def current_scope() -> Scope | None:
    """Return the scope of the request that this code runs in, while it is open."""
    scope = _current.get()
    return scope if scope is not None and scope.is_open else None


def open_scope() -> Scope:
    """Make a new scope the current one, until it is closed."""
    scope = current_scope()
    if scope is not None and scope.streaming:
        # Its body was never closed, and its thread has gone on to this request.
        scope.close()
    return _new_scope()


def begin_request() -> Scope | None:
    """Open the scope of a request, or take over the one that was opened at the door.

    Returns ``None`` within another request of the same thread or task, whose scope
    serves this one too.
    """
    scope = _current.get()
    if scope is None or not scope.is_open:
        return _new_scope()
    if scope.at_door:
        scope.at_door = False
        return scope
    return open_scope() if scope.streaming else None


def _new_scope() -> Scope:
    scope = Scope()
    _current.set(scope)
    return scope
