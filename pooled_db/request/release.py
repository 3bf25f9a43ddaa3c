"""Connections given back before the request ends."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.transaction import TransactionManagementError
from django.utils.asyncio import async_unsafe

from .current import current_scope


@async_unsafe("Use 'await pooled_db.arelease()' in asynchronous code.")
def release() -> None:
    """Give this request's connections back now; the next query takes one again.

    Call it before something slow that needs no database, such as a request to another
    service. Outside of requests it gives back what this thread has open.

    Raises TransactionManagementError in a transaction: inside an atomic block, after
    ``set_autocommit(False)``, or where the settings turn autocommit off and something
    is still to be committed.
    """
    scope = current_scope()
    here: list[Any] = [
        connection
        for connection in connections.all(initialized_only=True)
        if getattr(connection, "is_pooled", False)
    ]
    if any(connection.in_transaction for connection in here) or (
        scope is not None and scope.in_atomic_block
    ):
        raise TransactionManagementError(
            "pooled_db.release() cannot be used in a transaction, which would be lost."
        )
    for connection in here:
        connection.close()
    if scope is not None:
        scope.release()


async def arelease() -> None:
    """Do the same from asynchronous code."""
    await sync_to_async(release, thread_sensitive=True)()
