"""The same overload on both backends, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from demo.serving import (
    EVENT_IDS,
    TICKETS_PER_EVENT,
    Backend,
    served,
)
from tests.harness import load
from tests.harness.load_report import Report
from tests.harness.mariadb import MariaDB

LIST_PAGE = load.Request("/")
PURCHASES = [load.Request(f"/api/buy/{event}", method="POST") for event in EVENT_IDS]
MIX = [request for purchase in PURCHASES for request in (LIST_PAGE, purchase)]

# Longer than anybody waits here: a purchase must not be stored and its answer missed.
CLIENT_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Books:
    """Three ways to count the purchases. They agree, or something is wrong."""

    tickets_sold: int
    orders_stored: int
    purchases_answered: int

    @property
    def balanced(self) -> bool:
        return self.tickets_sold == self.orders_stored == self.purchases_answered


@dataclass(frozen=True, slots=True)
class Outcome:
    backend: Backend
    report: Report
    most_connections: int
    books: Books


def measure(
    database: MariaDB,
    backend: Backend,
    *,
    clients: int,
    seconds: float,
    progress: load.Progress,
) -> Outcome:
    with served(database, backend) as server:
        database.flush_status()
        plan = load.Plan(
            server.url,
            MIX,
            clients=clients,
            seconds=seconds,
            timeout=CLIENT_TIMEOUT_SECONDS,
        )
        report = load.run(plan, progress)
        most_connections = database.status("Max_used_connections")
    return Outcome(backend, report, most_connections, books(database, backend, report))


def books(database: MariaDB, backend: Backend, report: Report) -> Books:
    left, orders = counted(
        database,
        f"SELECT (SELECT SUM(tickets_left) FROM {backend.schema}.tickets_event),"
        f" (SELECT COUNT(*) FROM {backend.schema}.tickets_order)",
    )
    return Books(
        tickets_sold=len(EVENT_IDS) * TICKETS_PER_EVENT - left,
        orders_stored=orders,
        purchases_answered=sum(
            status == 200 and MIX[request] is not LIST_PAGE
            for status, request in zip(report.statuses, report.requests, strict=True)
        ),
    )


def counted(database: MariaDB, query: str) -> tuple[int, ...]:
    connection = database.admin()
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return tuple(map(int, cursor.fetchone()))
    finally:
        connection.close()
