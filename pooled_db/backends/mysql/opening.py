"""A backend that opens the connections of its alias's pool."""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.mysql import base as mysql

from ... import conf, pools
from ...celery_fixup import closes_around_a_task
from ...driver.addresses import addresses
from ...driver.connection import Connection
from ...driver.opening import opened_by
from ...pool.destination import Destination
from ...pool.pool import Pool

#: In seconds, where OPTIONS has no connect_timeout.
LONGEST_CONNECT = 60


class OpeningMixin(mysql.DatabaseWrapper):
    """Knows the pool of its alias, and opens connections for it."""

    #: The pool's, of a wrapper that opens its connections: judged once, with the rest.
    pool_timeout: float | None = None

    @property
    def is_pooled(self) -> bool:
        """Whether connections of this wrapper come from a pool."""
        return self.alias != NO_DB_ALIAS and conf.is_pooled(self.settings_dict)

    @property
    def pool(self) -> Pool | None:
        """The pool of this alias, if it has one."""
        return pools.for_wrapper(self) if self.is_pooled else None

    def close_pool(self) -> None:
        """Close the connections of the alias's pool; the next use builds a new one.

        But not for Celery around each of its tasks: what a fork inherits is given up
        at the fork, and the next task is to find its connection.
        """
        if self.is_pooled and not closes_around_a_task():
            pools.dispose(self.alias)

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        params.pop("pool", None)
        return params

    def open_connection(self) -> Connection:
        """Open a connection for the pool, from the settings as they are now."""
        destination = Destination(self.settings_dict)
        params = self.get_connection_params()
        params["autocommit"] = self.settings_dict["AUTOCOMMIT"]
        # The driver would wait for a silent server as long as the system does.
        timeout = self.pool_timeout
        if timeout is None:
            timeout = conf.pool_settings(self.alias, self.settings_dict).timeout
        params.setdefault("connect_timeout", min(math.ceil(timeout), LONGEST_CONNECT))
        # Its own or that of the backend it extends, and all that watches the driver.
        connect = super().get_new_connection
        connection = addresses.open_at_any(
            params, lambda options: opened_by(lambda: connect(options))
        )
        if connection is None:
            raise ImproperlyConfigured(
                f"The backend of {self.alias!r} opens connections by other means than "
                'MySQLdb.connect(), so they cannot be pooled. Set "pool": False in its '
                "OPTIONS."
            )
        connection.destination = destination
        connection.current_options = self.get_connection_params
        return connection
