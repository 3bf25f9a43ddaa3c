"""The least that a connection per request from a QueuePool can cost.

It takes one at the start of a request, gives it back at the end, and does nothing else:
nobody waits in order, no connection is looked at, no session is made as new, and what
goes wrong leaks. Not for use: it is what pooled_db's cost is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse
from sqlalchemy.pool import QueuePool

POOL_SIZE = 10


class Middleware:
    """Lend each request a connection that Django has set up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._queue = QueuePool(
            _open, pool_size=POOL_SIZE, max_overflow=0, reset_on_return=None
        )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        lent = self._queue.connect()
        connection.connection = lent.dbapi_connection
        connection.close_at = None
        connection.errors_occurred = False
        try:
            return self.get_response(request)
        finally:
            connection.connection = None
            lent.close()


def _open() -> Any:
    connection.connect()
    opened, connection.connection = connection.connection, None
    return opened
