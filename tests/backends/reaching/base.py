"""A backend that reaches its server in a way of its own, with a pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.backends.mysql import base as mysql

from pooled_db.backends.mysql.base import PooledMixin

Connect = Callable[[dict[str, Any]], Any]


class Reaching(mysql.DatabaseWrapper):
    """Opens connections by :attr:`way`, as one with a tunnel or with retries does."""

    #: Gets what would open one with Django's backend, and its parameters.
    way: ClassVar[Callable[[Connect, dict[str, Any]], Any]]

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        return type(self).way(super().get_new_connection, conn_params)


class DatabaseWrapper(PooledMixin, Reaching):
    pass
