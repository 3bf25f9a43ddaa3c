"""Django's MySQL backend, taking its connection from the request or the pool."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from django.db import ProgrammingError
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.mysql import base as mysql
from django.db.backends.signals import connection_created
from django.utils.asyncio import async_unsafe
from django.utils.functional import cached_property

from ... import conf, pools
from ...driver.connection import ANY_THREAD, Connection
from ...fork import notice_fork
from ...pool.lease import Lease
from ...pool.pool import Pool
from ...request.scope import Scope, current_scope
from .validation import DatabaseValidation

#: Of Django's MySQL backend, where OPTIONS names none.
DEFAULT_ISOLATION_LEVEL = "read committed"
#: In seconds, where OPTIONS has no connect_timeout.
LONGEST_CONNECT = 60


class PooledMixin(mysql.DatabaseWrapper):
    """Give a DatabaseWrapper derived from Django's MySQL backend a pool.

    ``class DatabaseWrapper(PooledMixin, other.DatabaseWrapper)`` is all that another
    backend needs.
    """

    validation_class = DatabaseValidation

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        self._connection: Any = None
        self._lease: Lease | None = None
        super().__init__(settings_dict, alias)

    @property
    def is_pooled(self) -> bool:
        """Whether connections of this wrapper come from a pool."""
        return self.alias != NO_DB_ALIAS and conf.is_pooled(self.settings_dict)

    @property
    def pool(self) -> Pool | None:
        """The pool of this alias, if it has one."""
        return pools.for_wrapper(self) if self.is_pooled else None

    def close_pool(self) -> None:
        """Close the connections of the alias's pool; the next use builds a new one."""
        if self.is_pooled:
            pools.dispose(self.alias)

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        params.pop("pool", None)
        return params

    def open_connection(self) -> Connection:
        """Open a connection for the pool, from the settings as they are now."""
        params = self.get_connection_params()
        params["autocommit"] = self.settings_dict["AUTOCOMMIT"]
        # The driver would wait for a silent server as long as the system does.
        settings = conf.pool_settings(self.alias, self.settings_dict)
        params.setdefault(
            "connect_timeout", min(math.ceil(settings.timeout), LONGEST_CONNECT)
        )
        return Connection(**params)

    def connect(self) -> None:
        if self.in_atomic_block and self.closed_in_transaction and self.is_pooled:
            # Django says so itself since 5.1.
            raise ProgrammingError("Cannot open a new connection in an atomic block.")
        try:
            connection = self._borrow()
            level = self._wanted_isolation_level
            if connection is not None and connection.isolation_level == level:
                self._connect_warm(connection, level)
            else:
                super().connect()
        except BaseException:
            # What failed on the way leaves a session that nobody should get.
            lease, self._lease = self._lease, None
            if lease is not None:
                self.connection = None
                lease.discard()
            raise

    def _connect_warm(self, connection: Connection, level: str | None) -> None:
        """Do what Django's connect() does, for a session that it has set up before.

        It means the same in 0.8 us instead of 3.6. What is left out builds parameters
        that nobody uses, and sets what is set already.
        """
        settings = self.settings_dict
        self.check_settings()
        self._forget_transaction()
        self.health_check_enabled: bool = settings["CONN_HEALTH_CHECKS"]
        self.health_check_done = True
        age = settings["CONN_MAX_AGE"]
        self.close_at = None if age is None else time.monotonic() + age
        self.errors_occurred = False
        self.isolation_level = level and level.lower()
        self._connection = connection
        autocommit = settings["AUTOCOMMIT"]
        if connection.get_autocommit() == autocommit:
            self.autocommit = autocommit
            self.run_commit_hooks_on_set_autocommit_on = False
        else:
            self.set_autocommit(autocommit)
        if connection_created.receivers:
            connection_created.send(sender=self.__class__, connection=self)

    @property
    def _wanted_isolation_level(self) -> str | None:
        level: str | None = self.settings_dict["OPTIONS"].get(
            "isolation_level", DEFAULT_ISOLATION_LEVEL
        )
        return level

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = self._borrow()
        if connection is None:
            return super().get_new_connection(conn_params)
        return connection

    def _borrow(self) -> Connection | None:
        """Return the connection of the request, or one from the pool, if there is one.

        Only what may have to wait is forbidden in asynchronous code.
        """
        lease = self._lease
        if lease is None or not lease.is_out:
            scope = current_scope()
            lease = None
            if scope is not None:
                lease = scope.lend_ready(self.settings_dict, self.alias, self)
            if lease is None:
                lease = self._wait_for_lease(scope)
            if lease is None:
                return None
            self._lease = lease
            # allow_thread_sharing, without its lock, which a look does not need.
            shared = self._thread_sharing_count > 0  # type: ignore[attr-defined]
            lease.connection.lend(ANY_THREAD if shared else threading.get_ident())
        return lease.connection

    @async_unsafe
    def _wait_for_lease(self, scope: Scope | None) -> Lease | None:
        pool = self.pool
        if pool is None:
            return None
        return pool.checkout() if scope is None else scope.lease(pool, self)

    def init_connection_state(self) -> None:
        if self._lease is None:
            super().init_connection_state()
            return
        connection = self._lease.connection
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
        connection = self._lease.connection if self._lease is not None else None
        if connection is not None and connection.server_data is not None:
            return connection.server_data
        data = super().mysql_server_data
        if connection is not None:
            connection.server_data = data
        return data

    def is_usable(self) -> bool:
        return self.connection is not None and bool(super().is_usable())

    @property
    def holds_connection(self) -> bool:
        """Whether this wrapper has a connection that is still its own."""
        return self._lease is not None and self._lease.is_out

    @property
    def connection(self) -> Any:
        """The driver's connection; ``None`` once the request that lent it is over.

        It may have ended in another thread: under ASGI in that of the event loop.
        """
        lease = self._lease
        if lease is not None:
            notice_fork()
            if not lease.is_out and not self.in_atomic_block:
                self.detach()
        return self._connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._connection = connection

    def detach(self) -> None:
        """Forget the connection, which is not this wrapper's any more."""
        self._lease = None
        self._connection = None
        if self.in_atomic_block:
            # It was left open, and is rolled back with the connection. Were it still
            # open here, the next one would take itself for nested in it.
            self._forget_transaction()

    def _forget_transaction(self) -> None:
        self.in_atomic_block = False
        self.savepoint_ids = []
        self.atomic_blocks = []
        self.needs_rollback = False
        self.closed_in_transaction = False
        self.run_on_commit = []

    def inc_thread_sharing(self) -> None:
        super().inc_thread_sharing()
        if self._lease is not None and self._lease.is_out:
            self._lease.connection.lend(ANY_THREAD)

    def _close(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            super()._close()  # type: ignore[misc]
            return
        # Not only because it may be somebody else's soon: without it, a query in an
        # atomic block that has been closed says so, as in Django's own pool.
        self.connection = None
        scope = current_scope()
        if scope is not None:
            scope.forget(lease)
        notice_fork()
        with self.wrap_database_errors:
            lease.checkin()


class DatabaseWrapper(PooledMixin, mysql.DatabaseWrapper):
    """Django's MySQL and MariaDB backend with a pool."""
