"""The books of a sale: what was sold, what was stored, what buyers were told."""

from __future__ import annotations

import time
from dataclasses import dataclass

from demo.serving import EVENT_IDS, MAX_CONNECTIONS, TICKETS_PER_EVENT, Backend
from tests.harness.mariadb import MariaDB
from tests.harness.processes import poll

REST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Books:
    """Three ways to count the purchases. They agree, or something is wrong."""

    tickets_sold: int
    orders_stored: int
    purchases_answered: int

    @property
    def balanced(self) -> bool:
        return self.tickets_sold == self.orders_stored == self.purchases_answered


def books_of(database: MariaDB, backend: Backend, purchases_answered: int) -> Books:
    """Count on *backend*'s schema, once all that was begun there has ended."""
    poll(lambda: at_rest(database), REST_SECONDS)
    (counted,) = database.ask(
        f"SELECT (SELECT SUM(tickets_left) FROM {backend.schema}.tickets_event)"
        f" AS unsold, (SELECT COUNT(*) FROM {backend.schema}.tickets_order) AS orders"
    )
    return Books(
        tickets_sold=len(EVENT_IDS) * TICKETS_PER_EVENT - int(counted["unsold"]),
        orders_stored=counted["orders"],
        purchases_answered=purchases_answered,
    )


def at_rest(database: MariaDB) -> bool:
    """Whether nobody asks the server for anything, now and for half a second."""
    for _ in range(10):
        if any(one["command"] != "Sleep" for one in database.process_list()):
            return False
        time.sleep(0.05)
    return True


@dataclass(frozen=True, slots=True)
class Connections:
    """How many the site had at once, and how many it opened in all."""

    most: int
    opened: int


class Counting:
    """Counts the connections to a server since it was made."""

    def __init__(self, database: MariaDB) -> None:
        self._database = database
        database.flush_status()
        self._before = database.status("Connections")

    def connections(self) -> Connections:
        # MariaDB counts one more: whom it lets in to be told that it is full.
        most = min(self._database.status("Max_used_connections"), MAX_CONNECTIONS)
        return Connections(most, self._database.status("Connections") - self._before)
