"""Loans of a bare pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from pooled_db.request.scope import Scope
from tests.harness.fake_server import FakeServer


def connector(server: FakeServer) -> Callable[[], Connection]:
    """What opens connections to *server*."""
    return lambda: Connection(
        host=server.host, port=server.port, user="any", password="", autocommit=True
    )


def connection_of(loan: Loan) -> Connection:
    assert loan.connection is not None
    return loan.connection


def lend(pool: Pool) -> tuple[Loan, Connection]:
    """Check a connection out for this thread."""
    loan = pool.checkout()
    return loan, connection_of(loan)


def ask(connection: Connection, sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        while cursor.nextset():
            pass
    return row[0] if row else None


def run(connection: Connection, *statements: str) -> None:
    """Make *statements* by the driver, without a cursor."""
    for statement in statements:
        connection.query(statement)
        connection.store_result()


def pool_of_one(make_pool: Callable[..., Pool]) -> Pool:
    """Make a pool of one connection, to a database with a table ``t``."""
    pool = make_pool(pool_size=1, timeout=5)
    loan, connection = lend(pool)
    ask(connection, "DROP TABLE IF EXISTS t")
    ask(connection, "CREATE TABLE t (a INT)")
    loan.checkin()
    return pool


def admit(scope: Scope, pool: Pool, *, is_async: bool) -> None:
    """Let a request in, in this thread or in a task."""
    if is_async:
        asyncio.run(scope.admit_async(pool))
    else:
        scope.admit(pool)
