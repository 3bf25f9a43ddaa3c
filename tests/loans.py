"""Loans of a bare pool."""

from __future__ import annotations

from pooled_db.driver.connection import Connection
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool


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
