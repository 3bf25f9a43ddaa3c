"""The same overload on each backend, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from demo.books import Books, Connections, Counting, books_of
from demo.serving import EVENT_IDS, Backend, Serving, served
from tests.harness import load
from tests.harness.load_report import Report
from tests.harness.mariadb import MariaDB

LIST_PAGE = load.Request("/")
PURCHASES = [load.Request(f"/api/buy/{event}", method="POST") for event in EVENT_IDS]
MIX = [request for purchase in PURCHASES for request in (LIST_PAGE, purchase)]

WORK_SECONDS = 0.15

# Longer than anybody waits here: a purchase must not be stored and its answer missed.
CLIENT_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    backend: Backend
    report: Report
    connections: Connections
    books: Books


def measure(
    database: MariaDB,
    backend: Backend,
    *,
    clients: int,
    seconds: float,
    progress: load.Progress,
) -> Outcome:
    with served(database, backend, Serving(WORK_SECONDS)) as server:
        counting = Counting(database)
        plan = load.Plan(
            server.url,
            MIX,
            clients=clients,
            seconds=seconds,
            timeout=CLIENT_TIMEOUT_SECONDS,
        )
        report = load.run(plan, progress)
        connections = counting.connections()
        books = books_of(database, backend, purchases_in(report))
    return Outcome(backend, report, connections, books)


def purchases_in(report: Report) -> int:
    return sum(
        status == 200 and MIX[request] is not LIST_PAGE
        for status, request in zip(report.statuses, report.requests, strict=True)
    )
