"""Errors of the pool, as those get them who asked for a connection."""

from __future__ import annotations

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.exceptions import Reason


def timeout(reason: Reason = Reason.TIMEOUT) -> PoolTimeout:
    return PoolTimeout("billing", reason, 5.004, 9, 10, 31)


def unavailable() -> ServerUnavailable:
    error = ServerUnavailable(2003, "Can't connect to server on 'db.internal' (115)")
    error.alias = "billing"
    return error
