"""What one request holds."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any

import MySQLdb

from ..exceptions import ServerUnavailable
from ..fork import in_new_child
from ..pool.cleaners import cleaners
from ..pool.loan import Loan
from ..pool.permit import ADMITTED, READY, TAKING
from ..pool.pool import Leading, Pool, outsiders
from ..pool.store import NoIdleConnection
from ..pool.thread_end import give_back_at_thread_end
from ..pool.turn import BorrowerRef
from .identity import Identity


class Scope(Identity):
    """The loans of one request, from its start to its end, whoever of it asks.

    Used by the request's threads and by its event loop; what a thread of the request
    takes after the end is not the scope's any more. Whoever puts a loan in looks
    whether the scope is open after that, and the end is noted before they are taken
    out: one of the two sees the other.
    """

    is_open: bool = True
    #: Whether the request may have done something already.
    begun: bool = False
    #: Whether somebody answers for its end.
    entered: bool = False
    #: Whether it has been let in: it is in the middle of something.
    was_admitted: bool = False
    #: Whether the middleware has returned and only the body is left.
    streaming: bool = False
    #: Whether it was opened before the middleware, which has not taken it over yet.
    at_door: bool = False
    #: Whether a query of Django's own thread has opened it.
    is_early: bool = False
    #: Whether it is of Django's test client, which shares its test's connection.
    is_of_test_client: bool = False

    def __init__(self) -> None:
        #: By what its loans know it: always the same object.
        self.ref: Callable[[], Scope | None] = weakref.ref(self)
        #: By alias the one that all threads and tasks share; and by themselves those
        #: that they have taken besides, because it was at work.
        self._loans: dict[str | Loan, Loan] = {}

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Scope: {state}, {len(self._all())} loans>"

    def __del__(self) -> None:
        # A body was never closed. A finalizer must wait for no lock and no server.
        try:
            some = self._loans
        except AttributeError:
            return  # an interrupt came while it was made
        if some and not in_new_child():
            for loan in self._all():
                loan.discard()

    def _all(self) -> list[Loan]:
        return [
            loan
            for loan in self.loans
            if loan.requester is self.ref and not loan.has_ended
        ]

    @property
    def loans(self) -> list[Loan]:
        """What it has, and what it had and has not replaced yet."""
        return list(self._loans.values())

    # At the start of the request.

    def admit(self, pool: Pool, age: float = 0.0) -> None:
        """Wait in this thread until *pool* lets the request in.

        *age* is for how many seconds the request has been on its way already. Raises
        PoolTimeout.
        """
        if not self._loans or self._shared(pool) is None:
            loan = self._new_loan(pool) if self.was_admitted else Loan(pool, self.ref)
            try:
                pool.admit(loan, age)
                self._keep(loan)
            except BaseException:
                loan.checkin()
                raise

    async def admit_async(self, pool: Pool, age: float = 0.0) -> None:
        """Wait until *pool* lets the request in, blocking no thread."""
        if not self._loans or self._shared(pool) is None:
            loan = self._new_loan(pool) if self.was_admitted else Loan(pool, self.ref)
            try:
                await pool.admit_async(loan, age)
                self._keep(loan)
            except BaseException:
                loan.checkin()
                raise

    def check_out(
        self, pool: Pool, age: float = 0.0, *, idle_only: bool = False
    ) -> None:
        """Take a connection, and keep it ready; be admitted first if need be.

        With *idle_only* the server is not waited for: where no connection is idle, the
        request is merely admitted.

        What no waiting cures, such as a wrong password, is left to the first query.
        Then it is an error as without a pool, and a page that asks nothing still works.
        Raises PoolTimeout or ServerUnavailable.
        """
        if self._loans:
            self.admit(pool, age)
            if idle_only:
                self.check_out_idle(pool)
            else:
                self.check_out_admitted(pool)
            return
        loan = Loan(pool, self.ref)
        loan.begins_as = TAKING
        loan.idle_only = idle_only
        try:
            pool.admit(loan, age)
            if self._loans:  # telling its client apart has taken one
                self._keep(loan)
            # _keep() without the call, and without a lock to begin taking.
            self._loans[pool.alias] = loan
            self.was_admitted = True
            if not self.is_open:
                loan.checkin()
            pool.take(loan)
        except NoIdleConnection:
            loan.idle_only = False
        except BaseException as error:
            if loan.state is TAKING:  # an interrupt came before take() did
                loan.state = ADMITTED
            loan.checkin()
            if not _is_for_the_first_query(error):
                raise

    def has_ready(self, alias: str) -> bool:
        """Whether it has a connection of *alias* that is ready, or more than that."""
        loan = self._loans.get(alias)
        return loan is not None and not loan.over and loan.state is not ADMITTED

    def check_out_admitted(self, pool: Pool) -> None:
        """Do the same, unless the admission has gone: the request may be over."""
        loan = self._loans.get(pool.alias)
        if loan is None or loan.state is not ADMITTED:
            return
        try:
            pool.take(loan)
        except BaseException as error:
            loan.checkin()
            if not _is_for_the_first_query(error):
                raise

    def check_out_idle(self, pool: Pool) -> bool:
        """Do the same, admitted, without I/O: ``False`` if it would take some."""
        loan = self._loans.get(pool.alias)
        if loan is None or loan.state is not ADMITTED:
            return True
        try:
            pool.take_idle(loan)
        except NoIdleConnection:
            return False
        except BaseException:
            loan.checkin()
            raise
        return True

    def adopt(self, pool: Pool, loan: Loan, *, ends_with_it: bool) -> None:
        """Share *loan*, which the request's thread took before there was a scope."""
        self.begun = True
        if ends_with_it:
            loan.requester = self.ref
            outsiders.discard(loan)
        unused = self._loans.get(pool.alias)
        self._keep(loan)
        if unused is not None and unused is not loan:
            unused.checkin()  # what a door has taken

    def _new_loan(self, pool: Pool, leading: Leading | None = None) -> Loan:
        loan = Loan(pool, self.ref)
        if leading is not None:
            loan.destination, loan.opening = leading
        if self.was_admitted:
            loan.begun = True
            loan.bounded = False
        return loan

    def _shared(self, pool: Pool) -> Loan | None:
        loan = self._loans.get(pool.alias)
        if loan is None or loan.over or loan.pool is not pool:
            return None
        return loan

    def _set_aside(self, loan: Loan | None) -> None:
        """Go on with another, and leave *loan* to the end of the request."""
        if loan is not None and not loan.over:
            self._loans[loan] = loan
            if not self.is_open and loan.requester is self.ref:
                loan.checkin()

    def _keep(self, loan: Loan) -> None:
        before = self._loans.get(loan.pool.alias)
        if before is not None and before is not loan:
            self._set_aside(before)
        self._loans[loan.pool.alias] = loan
        self.was_admitted = True
        if not self.is_open and loan.requester is self.ref:
            loan.checkin()

    # During the request.

    def lend_ready(
        self, database: Mapping[str, Any], alias: str, borrower: BorrowerRef
    ) -> Loan | None:
        """Lend what is ready or at rest, if it leads where *database* says."""
        loan = self._loans.get(alias)
        if (
            loan is not None
            and not loan.over
            and loan.destination is not None
            and loan.destination.is_of(database)
            and loan.lend(borrower, get_ident())
        ):
            self.begun = True
            return loan
        return None

    def lend(self, pool: Pool, borrower: BorrowerRef, leading: Leading) -> Loan:
        """Lend this thread what is ready or at rest, or wait for it or for another.

        Raises PoolTimeout, ServerUnavailable, or the driver's error if connecting fails
        for a reason that waiting does not cure.
        """
        loan = self._lend(pool, borrower, leading)
        self.begun = self.was_admitted = True
        if not self.is_open:
            # The request ended meanwhile. What its thread takes now is the thread's.
            loan.checkin()
            return pool.checkout(borrower, leading)
        return loan

    def _lend(self, pool: Pool, borrower: BorrowerRef, leading: Leading) -> Loan:
        thread = get_ident()
        while True:
            shared = self._shared(pool)
            if shared is None:
                loan = self._new_loan(pool, leading)
                replaced = self._loans.get(pool.alias)
                if replaced is not None and self._shared(pool) is None:
                    self._set_aside(self._loans.pop(pool.alias, None))
                shared = self._loans.setdefault(pool.alias, loan)
                if shared is loan:
                    return self._lend_new(pool, loan, borrower)
                continue
            if shared.destination != leading[0] and self._make_way(shared):
                continue
            if shared.state is ADMITTED:
                self._take(pool, shared)
            leads_there = shared.destination == leading[0]
            if leads_there and shared.lend(borrower, thread):
                return shared
            if shared.over:
                continue
            loan = self._new_loan(pool, leading)
            loan.begun = True
            loan.bounded = False
            instead = shared if leads_there else None
            return self._lend_new(pool, loan, borrower, instead)

    def _lend_new(
        self,
        pool: Pool,
        loan: Loan,
        borrower: BorrowerRef,
        instead: Loan | None = None,
    ) -> Loan:
        loan.borrower = borrower
        try:
            if pool.admit(loan, instead=instead) is not loan:
                assert instead is not None
                return instead
            if self._loans.get(pool.alias) is not loan:
                self._loans[loan] = loan
            if self.is_early:
                give_back_at_thread_end(loan)
            pool.take(loan)
            lent = loan.lend(borrower, get_ident())
        except BaseException:
            loan.discard()
            raise
        if lent:
            return loan
        assert loan.destination is not None
        assert loan.opening is not None
        return self._lend(pool, borrower, (loan.destination, loan.opening))

    @staticmethod
    def _make_way(shared: Loan) -> bool:
        """End a loan that leads elsewhere, unless somebody works with it."""
        if shared.resting_since() is None:
            return False
        shared.checkin()
        return True

    @staticmethod
    def _take(pool: Pool, loan: Loan) -> None:
        try:
            pool.take(loan)
        except BaseException:
            loan.discard()
            raise

    def return_unused(self) -> None:
        """Give back what has not been used."""
        _checkin_all([one for one in self._all() if one.state in (ADMITTED, READY)])

    @property
    def in_atomic_block(self) -> bool:
        """Whether a borrower has a transaction open."""
        return any(loan.in_atomic_block for loan in self._all())

    # At its end.

    def release(self) -> None:
        """Give back what nobody works with; the next query takes one again."""
        here = get_ident()
        loans = self._all()
        at_rest = [one for one in loans if one.resting_since() is not None]
        _checkin_all([one for one in loans if one.user == here or one in at_rest])

    def close(self) -> None:
        """End every loan, once and for all."""
        self.is_open = False
        try:
            here = get_ident()
            for loan in list(self._loans.values()):
                if loan.requester is self.ref:
                    # A transaction that this thread has left open is over, too. That of
                    # another thread is told so by its next statement.
                    borrower = loan.borrower if loan.user == here else None
                    loan.checkin()
                    if borrower is not None and (wrapper := borrower()) is not None:
                        wrapper.detach()
        except BaseException:
            _checkin_all(self._all())
            raise
        finally:
            self.request = None  # not before: a loan that lasted for long is logged
        self._loans.clear()

    async def close_async(self) -> None:
        """Do the same on an event loop, which it does not block."""
        self.is_open = False
        loans = self._all()
        dirty = [loan for loan in loans if loan.needs_io()]
        if dirty:
            # There it takes a round trip. Not in the request's own thread, which may be
            # working at something that nobody awaits. Shielded, so that it happens even
            # if this task is cancelled.
            _checkin_all([loan for loan in loans if loan not in dirty])
            loop = asyncio.get_running_loop()
            try:
                closing = loop.run_in_executor(cleaners(), self.close)
            except RuntimeError:
                self.close()  # the process ends, or may have no more threads
            else:
                await asyncio.shield(closing)
        else:
            self.close()


def _is_for_the_first_query(error: BaseException) -> bool:
    return isinstance(error, MySQLdb.Error) and not isinstance(error, ServerUnavailable)


def _checkin_all(loans: list[Loan]) -> None:
    """Check all of them in, even if one fails."""
    while loans:
        try:
            loans[-1].checkin()
            loans.pop()
        except BaseException:
            loans.pop()
            _checkin_all(loans)
            raise
