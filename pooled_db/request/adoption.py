"""What the thread of a request had open before the request was known."""

from __future__ import annotations

from django.db import connections

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
