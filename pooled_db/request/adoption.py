"""What the thread of a request had open before the request was known."""

from __future__ import annotations

from typing import cast

from django.db import connections

from ..pool.loan import Loan
from ..pool.pool import Pool
from .scope import Scope


def adopt(scope: Scope) -> None:
    """Let *scope* have what this thread has taken since ``request_started``.

    A receiver of that signal or a middleware above has asked the database. Within an
    open transaction it stays whose it is, and the request gets no other.
    """
    for wrapper in connections.all(initialized_only=True):
        loan = getattr(wrapper, "loan", None)
        if loan is not None and loan.requester is None:
            ends_with_it = loan.may_be_missed and not wrapper.in_atomic_block
            scope.adopt(loan.pool, loan, ends_with_it=ends_with_it)


def give_way(loan: Loan, scope: Scope) -> None:
    """Give *loan*, which this thread has of its own, back for *scope*'s.

    An executor's thread may have one at rest from earlier work, and now works for a
    request: what it leaves in its session must end with that. The request adopts it if
    it has none.
    """
    if (
        scope.is_of_test_client
        or loan in scope.loans
        or loan.pins
        or not loan.may_be_missed
        or loan.resting_since() is None
        or loan.connection is None
        or loan.connection.has_open_cursor()
    ):
        return
    if any(one.pool is loan.pool and not one.over for one in scope.loans):
        loan.checkin()
    else:
        scope.adopt(cast("Pool", loan.pool), loan, ends_with_it=True)
