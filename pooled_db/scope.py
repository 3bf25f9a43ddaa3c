"""What one request holds."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

from asgiref.sync import sync_to_async

from .gate import Permit
from .pool import Lease, NoIdleConnection, Pool


class Borrower(Protocol):
    """Who uses a lease: Django's DatabaseWrapper of one thread."""

    in_atomic_block: bool

    def detach(self) -> None:
        """Forget the connection, which is not the borrower's any more."""


class Scope:
    """The connections of one request, from its start to its end.

    Used by the request's threads and by its event loop; what a thread of the request
    takes after the end is not the scope's any more.
    """

    def __init__(self) -> None:
        self.is_open = True
        #: Whether the request may have done something already.
        self.begun = False
        #: Whether the middleware has returned and only the body is left.
        self.streaming = False
        #: Whether it was opened before Django, and no middleware has taken it over yet.
        self.at_door = False
        self._lock = threading.Lock()
        self._admitted: dict[Pool, Permit] = {}
        self._ready: dict[Pool, Lease] = {}
        self._lent: dict[Lease, tuple[Borrower, int]] = {}

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Scope: {state}, {len(self._lent)} lent, {len(self._ready)} ready>"

    def __del__(self) -> None:
        # A body that was never closed. Nobody else has the scope, and a finalizer must
        # not wait for a lock or for the server.
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
        with _given_back_on_error(pool, permit):
            pool.admit(permit, age)
            self._keep_permit(pool, permit)

    async def admit_async(self, pool: Pool, age: float = 0.0) -> None:
        """Wait until *pool* lets the request in, blocking no thread."""
        permit = Permit()
        with _given_back_on_error(pool, permit):
            await pool.admit_async(permit, age)
            self._keep_permit(pool, permit)

    def is_admitted(self, pool: Pool) -> bool:
        """Whether *pool* has let the request in, and no more than that."""
        return pool in self._admitted

    def check_out(self, pool: Pool) -> None:
        """Take a connection for the admission to *pool*, and keep it ready.

        Raises ServerUnavailable or the driver's error.
        """
        for permit in self._take_permit(pool):
            with _given_back_on_error(pool, permit):
                self._keep(pool.take(permit))

    def check_out_idle(self, pool: Pool) -> bool:
        """Do the same without waiting: ``False`` if one would have to be opened."""
        for permit in self._take_permit(pool):
            with _given_back_on_error(pool, permit):
                try:
                    lease = pool.take(permit, idle_only=True)
                except NoIdleConnection:
                    self._keep_permit(pool, permit)
                    return False
                self._keep(lease)
        return True

    def _keep_permit(self, pool: Pool, permit: Permit) -> None:
        with self._lock:
            kept = self.is_open
            if kept:
                self._admitted[pool] = permit
        if not kept:
            pool.give_back(permit)

    def _take_permit(self, pool: Pool) -> list[Permit]:
        with self._lock:
            permit = self._admitted.pop(pool, None)
        return [] if permit is None else [permit]

    def _keep(self, lease: Lease) -> None:
        with self._lock:
            kept = self.is_open
            if kept:
                self._ready[lease.pool] = lease
        if not kept:
            lease.checkin()

    # During the request.

    def lease(self, pool: Pool, borrower: Borrower) -> Lease:
        """Return the connection that is ready, or wait for another in this thread.

        Raises what Pool.checkout raises.
        """
        self.check_out(pool)
        here = borrower, threading.get_ident()
        with self._lock:
            lease = self._ready.pop(pool, None)
            if lease is not None:
                self._lent[lease] = here
        if lease is None:
            lease = pool.checkout()
            with self._lock:
                if self.is_open:
                    self._lent[lease] = here
        self.begun = True
        return lease

    def forget(self, lease: Lease) -> None:
        """Drop *lease*, which its borrower has given back."""
        with self._lock:
            self._lent.pop(lease, None)

    def return_unused(self) -> None:
        """Give back what has not been used."""
        with self._lock:
            ready = list(self._ready.values())
            admitted = list(self._admitted.items())
            self._ready.clear()
            self._admitted.clear()
        for pool, permit in admitted:
            pool.give_back(permit)
        _checkin_all(ready)

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
        self.return_unused()
        with self._lock:
            lent = list(self._lent.items())
            self._lent.clear()
        leases = []
        for lease, (borrower, thread) in lent:
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


@contextlib.contextmanager
def _given_back_on_error(pool: Pool, permit: Permit) -> Iterator[None]:
    try:
        yield
    except BaseException:
        pool.give_back(permit)
        raise


def _checkin_all(leases: list[Lease]) -> None:
    """Check all of them in, even if one fails."""
    with contextlib.ExitStack() as stack:
        for lease in leases:
            stack.callback(lease.checkin)


_current: ContextVar[Scope | None] = ContextVar("pooled_db_scope", default=None)


def current_scope() -> Scope | None:
    """Return the scope of the request that this code runs in, while it is open."""
    scope = _current.get()
    return scope if scope is not None and scope.is_open else None


def open_scope() -> Scope:
    """Make a new scope the current one, until it is closed."""
    previous = current_scope()
    if previous is not None and previous.streaming:
        # Its body was never closed, and its thread has gone on to this request.
        previous.close()
    scope = Scope()
    _current.set(scope)
    return scope


def begin_request() -> Scope | None:
    """Open the scope of a request, or take over the one that was opened at the door.

    Returns ``None`` within another request of the same thread or task, whose scope
    serves this one too.
    """
    scope = current_scope()
    if scope is None or scope.streaming:
        return open_scope()
    if scope.at_door:
        scope.at_door = False
        return scope
    return None
