"""Whose request the code that runs now belongs to."""

from __future__ import annotations

import weakref
from contextvars import ContextVar

from asgiref.sync import SyncToAsync

from ..driver.use import ANY_THREAD
from ..pool.loan import Loan
from .scope import Scope

current: ContextVar[Scope | None] = ContextVar("pooled_db_scope", default=None)
#: By a weak reference to Django's mark of an ASGI request, which its threads share:
#: scopes of requests that asked before the middleware was called.
_early: dict[weakref.ref[object], Scope] = {}


def current_scope() -> Scope | None:
    """Return the scope of the request that this code runs in, while it is open."""
    scope = current.get()
    if scope is None and _early:
        scope = _early_scope()
    return scope if scope is not None and scope.is_open else None


def is_of_current_request(loan: Loan) -> bool:
    """Whether the request that *loan* belongs to, if to any, runs this code.

    An executor's thread serves another request before the first has ended. A loan that
    is shared between threads is good wherever its wrapper is used.
    """
    scope = current.get()
    if scope is None and _early:
        scope = _early_scope()
    return (
        loan.requester is (None if scope is None else scope.ref)
        or loan.user is ANY_THREAD
    )


def scope_of_asgi_request() -> Scope | None:
    """Return the current scope, opened now if Django is serving an ASGI request.

    A receiver of ``request_started`` asks before any middleware is called.
    """
    scope = current_scope()
    if scope is not None or current.get() is not None:
        return scope
    mark = SyncToAsync.thread_sensitive_context.get(None)
    if mark is None:
        return None
    scope = Scope()
    scope.at_door = scope.is_early = True
    return _early.setdefault(weakref.ref(mark, _forget_early), scope)


def _early_scope() -> Scope | None:
    mark = SyncToAsync.thread_sensitive_context.get(None)
    return None if mark is None else _early.get(weakref.ref(mark))


def _forget_early(mark: weakref.ref[object]) -> None:
    _early.pop(mark, None)


def open_scope() -> Scope:
    """Make a new scope, at the door, the current one until it is closed.

    Within another request of the same thread or task, which calls its own application,
    that one's serves this request too. It is returned, and is not at the door.
    """
    scope = current.get()
    if scope is not None and scope.is_open and scope.entered:
        if not scope.streaming:
            return scope
        # Its body was never closed, and its thread has gone on to this request.
        scope.close()
    scope = Scope()
    scope.at_door = True
    current.set(scope)
    return scope


def begin_request() -> Scope | None:
    """Open the scope of a request, or take over the one that was opened before.

    Returns ``None`` within another request of the same thread or task, whose scope
    serves this one too.
    """
    scope = current.get()
    if (scope is None or not scope.is_open) and _early:
        scope = _early_scope()
        current.set(scope)
    if scope is not None and scope.is_open:
        if scope.at_door:
            scope.at_door = False
            return scope
        if scope.entered and not scope.streaming:
            return None
        # Its body was never closed, or an interrupt came before anybody had it; and its
        # thread has gone on to this request.
        scope.close()
    scope = Scope()
    current.set(scope)
    return scope
