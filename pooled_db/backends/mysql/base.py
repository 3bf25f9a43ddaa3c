"""Django's MySQL backend, taking its connection from the request or the pool."""

from __future__ import annotations

import logging
import sys
import time
import weakref
from collections.abc import Callable
from threading import get_ident
from typing import Any

from django.db import ProgrammingError
from django.db.backends.mysql import base as mysql
from django.db.backends.signals import connection_created
from django.utils.asyncio import async_unsafe
from django.utils.functional import cached_property

from ... import pools
from ...driver.connection import Connection
from ...fork import in_new_child, notice_fork
from ...pool.loan import Loan
from ...pool.origin import describe
from ...pool.pool import outsiders
from ...request.adoption import give_way
from ...request.current import (
    current,
    current_scope,
    is_of_current_request,
    scope_of_asgi_request,
)
from .opening import OpeningMixin
from .transaction import TransactionMixin
from .usability import JudgedMixin
from .validation import DatabaseValidation

logger: logging.Logger = logging.getLogger("pooled_db")

#: Of Django's MySQL backend, where OPTIONS names none.
DEFAULT_ISOLATION_LEVEL = "read committed"


class PooledMixin(TransactionMixin, OpeningMixin, JudgedMixin):
    """Give a DatabaseWrapper derived from Django's MySQL backend a pool.

    ``class DatabaseWrapper(PooledMixin, other.DatabaseWrapper)`` is all that another
    backend needs.
    """

    validation_class = DatabaseValidation

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        self._connection: Any = None
        self._loan: Loan | None = None
        # What this wrapper has announced by a signal, and lost to others who waited.
        self._announced: Loan | None = None
        self._was_called_back = False
        self._me: Callable[[], PooledMixin | None] = weakref.ref(self)
        super().__init__(settings_dict, alias)

    def __del__(self) -> None:
        loan = getattr(self, "_loan", None)
        if (
            loan is not None
            and loan.borrower is self._me
            and loan.requester is None
            and not sys.is_finalizing()
            and not in_new_child()
        ):
            logger.warning(
                "A connection to %r was never given back; it is closed now. It was "
                "taken %s. Call connection.close() where such work ends.",
                self.alias,
                describe(loan.origin),
            )
            loan.discard()

    def connect(self) -> None:
        if self._in_atomic_block and self.closed_in_transaction and self.is_pooled:
            # Django says so itself since 5.1.
            raise ProgrammingError("Cannot open a new connection in an atomic block.")
        thread = get_ident()
        try:
            connection = self._borrow()
            # _wanted_isolation_level without the call.
            level = self.settings_dict["OPTIONS"].get(
                "isolation_level", DEFAULT_ISOLATION_LEVEL
            )
            if connection is not None and connection.isolation_level == level:
                self._connect_warm(connection, level)
            else:
                super().connect()
        except BaseException:
            # What failed on the way leaves a session that nobody should get.
            loan, self._loan = self._loan, None
            if loan is not None:
                self._connection = None
            # An interrupt may have kept from it what it has borrowed of the pool.
            for one in (loan, *outsiders):
                if one is not None and one.borrower is self._me:
                    one.discard()
            raise
        self._announced = self._loan
        if self._loan is not None:
            # Its turn goes to nobody in line yet: this thread is about to use it. And
            # nothing is called in between: an interrupt would leave the pin for good.
            self._loan.pins.discard(thread)

    def _connect_warm(self, connection: Connection, level: str | None) -> None:
        """Do what Django's connect() does, for a session that it has set up before.

        It means the same in 0.8 us instead of 3.6. What is left out builds parameters
        that nobody uses, and sets what is set already.
        """
        settings = self.settings_dict
        self.check_settings()
        if (
            self.run_on_commit
            or self.needs_rollback
            or self._in_atomic_block
            # A block that begins forgets the need of a rollback before it connects.
            or self.closed_in_transaction
        ):
            self._forget_transaction()
        self.health_check_enabled: bool = settings["CONN_HEALTH_CHECKS"]
        self.health_check_done = True
        age = settings["CONN_MAX_AGE"]
        self.close_at = None if age is None else time.monotonic() + age
        self.errors_occurred = False
        self.isolation_level = level and level.lower()
        proxy = connection.proxy
        self._connection = connection if proxy is None else proxy
        autocommit = settings["AUTOCOMMIT"]
        if connection.get_autocommit() == autocommit:
            self.autocommit = autocommit
            self.run_commit_hooks_on_set_autocommit_on = False
        else:
            self.set_autocommit(autocommit)
        if connection_created.receivers and self._announced is not self._loan:
            connection_created.send(sender=self.__class__, connection=self)

    @property
    def _wanted_isolation_level(self) -> str | None:
        level: str | None = self.settings_dict["OPTIONS"].get(
            "isolation_level", DEFAULT_ISOLATION_LEVEL
        )
        return level

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = self._borrow()
        if connection is None:
            return super().get_new_connection(conn_params)
        return connection.proxy or connection

    def _borrow(self) -> Connection | None:
        """Return the connection of the request, or one from the pool, if there is one.

        Only what may have to wait is forbidden in asynchronous code.
        """
        loan = self._loan
        if (
            loan is None
            or loan.borrower is not self._me
            or (loan.requester is not None and not is_of_current_request(loan))
        ):
            scope = current.get() or current_scope()
            loan = None
            if scope is not None and scope.is_open:
                loan = scope.lend_ready(self.settings_dict, self.alias, self._me)
            loan = loan or self._wait_for_loan()
            if loan is None:
                return None
            self._loan = loan
            # allow_thread_sharing, without its lock, which a look does not need.
            if self._thread_sharing_count > 0:  # type: ignore[attr-defined]
                loan.share()
            if self._was_called_back:
                self._was_called_back = False
                loan.connection.forget_last_statement()  # type: ignore[union-attr]
        elif loan.connection is not None and (
            loan.connection.is_doubtful or not loan.connection.is_alive()
        ):
            # Recipes against a server that has gone away let Django connect again.
            loan.discard()
            return self._borrow()
        return loan.connection

    @async_unsafe
    def _wait_for_loan(self) -> Loan | None:
        pool = self.pool
        if pool is None:
            return None
        scope = scope_of_asgi_request()
        leading = pools.leading(self, pool)
        if scope is None:
            return pool.checkout(self._me, leading)
        return scope.lend(pool, self._me, leading)

    def _pin(self) -> None:
        """Let nobody else have the loan until it is unpinned, if there is one."""
        thread = get_ident()
        while True:
            loan = self._loan
            if loan is None or thread in loan.pins:
                return  # connect() has pinned it, and goes on
            loan.pins.add(thread)
            # Whoever calls it back takes the user away, and looks for pins after that.
            if (loan.borrower is self._me and not loan.over) or self.in_transaction:
                return
            loan.unpin(thread)
            self.connect()

    def create_cursor(self, name: str | None = None) -> Any:
        loan = self._loan
        thread = get_ident()
        if loan is None or thread in loan.pins:
            return super().create_cursor(name)
        try:
            # _pin() without the call, where the loan is still this wrapper's.
            loan.pins.add(thread)
            if loan.borrower is not self._me or loan.over:
                loan.unpin(thread)
                self._pin()
            elif (
                loan.connection is not None
                and loan.connection.was_left_unread
                and self.autocommit  # else something would be lost with it
            ):
                # An interrupt has struck between a statement and its answer.
                loan.discard()
                self.connect()
            cursor = super().create_cursor(name)
        finally:
            if self._loan is not None:
                self._loan.pins.discard(thread)
        return cursor

    def _set_autocommit(self, autocommit: bool) -> None:
        thread = get_ident()
        loan = self._loan
        connects = loan is not None and thread in loan.pins
        try:
            self._pin()
            super()._set_autocommit(autocommit)  # type: ignore[misc]
        finally:
            loan = self._loan
            if loan is not None and not connects:
                loan.pins.discard(thread)
                if loan.line:
                    loan.unpin(thread)

    def init_connection_state(self) -> None:
        if self._loan is None or self._loan.connection is None:
            super().init_connection_state()
            return
        connection = self._loan.connection
        was_dirty = connection.is_dirty
        super().init_connection_state()
        connection.isolation_level = self._wanted_isolation_level
        # What Django sets here is what the next user is to find, too.
        connection.is_dirty = was_dirty

    @cached_property
    def mysql_server_data(self) -> dict[str, Any]:
        """What Django asks a server once, kept with the connection it was asked on.

        A wrapper is new with each thread, and under ASGI with each request.
        """
        connection = self._loan.connection if self._loan is not None else None
        if connection is not None and connection.server_data is not None:
            return connection.server_data
        data = super().mysql_server_data
        if connection is not None:
            connection.server_data = data
        return data

    def is_usable(self) -> bool:
        return self.connection is not None and bool(super().is_usable())

    @property
    def loan(self) -> Loan | None:
        """What this wrapper has borrowed, if it is still its own."""
        loan = self._loan
        return loan if loan is not None and loan.borrower is self._me else None

    @property
    def connection(self) -> Any:
        """The driver's connection; ``None`` if it is this wrapper's no more.

        The request that lent it may have ended in another thread, under ASGI in that of
        the event loop; another thread of the request may have its turn; or it was
        called back for others, who waited.
        """
        loan = self._loan
        if loan is None:
            return self._connection
        requester = loan.requester
        if requester is None:
            # uWSGI forks between requests, when a thread may have one of its own.
            notice_fork()
            if (scope := current_scope()) is not None:
                give_way(loan, scope)
        else:
            # Each cursor looks three times: is_of_current_request() is called only
            # where the quick answer is no.
            scope = current.get()
            if (
                scope is None or requester is not scope.ref
            ) and not is_of_current_request(loan):
                self.detach()
                return None
        if loan.borrower is not self._me and not self.in_transaction:
            self._was_called_back |= loan.called_back
            self.detach()
        return self._connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._connection = connection

    def detach(self) -> None:
        """Forget the connection, which is not this wrapper's any more."""
        self._loan = None
        self._connection = None
        if self._in_atomic_block:
            # It was left open, and is rolled back with the connection. Were it still
            # open here, the next one would take itself for nested in it.
            self._forget_transaction()

    def inc_thread_sharing(self) -> None:
        super().inc_thread_sharing()
        loan = self.loan
        if loan is not None:
            loan.share()

    def _close(self) -> None:
        loan = self._loan
        if loan is None:
            super()._close()  # type: ignore[misc]
            return
        # What another thread of the request has in its turn is not this wrapper's.
        if self.closes_unusable:
            if loan.borrower is self._me:
                loan.discard()
        elif loan.borrower is self._me and not loan.leave():
            with self.wrap_database_errors:
                loan.checkin()
        # Not only because it may be somebody else's soon: without it, a query in an
        # atomic block that has been closed says so, as in Django's own pool.
        self.connection = self._loan = None


class DatabaseWrapper(PooledMixin, mysql.DatabaseWrapper):
    """Django's MySQL and MariaDB backend with a pool."""
