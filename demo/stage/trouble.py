"""The trouble that a site can have, at the press of a button."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from demo.rush.crowd import Plan, come
from demo.rush.visit import ENDINGS, Doing
from demo.serving import EVENT_IDS
from tests.harness.private import PrivateServer
from tests.harness.servers import AppServer

RUSH_PEOPLE = 600
RUSH_SECONDS = 20.0
SLOW_REPORTS = 10
REPORT_TIMEOUT = 120.0
AWAY_SECONDS = 10.0


class Trouble:
    """What was provoked, and how it goes. One of a kind at a time."""

    people = RUSH_PEOPLE
    within = RUSH_SECONDS
    patience = 1.0
    away_seconds = AWAY_SECONDS

    def __init__(self, database: PrivateServer, shop: AppServer) -> None:
        self.database = database
        self.shop = shop
        self.kinds: dict[str, Callable[[], None]] = {
            "rush": self._rush,
            "slow": self._slow,
            "away": self._away,
        }
        self._under_way: dict[str, threading.Thread] = {}
        self._people: Counter[Doing] = Counter()
        self._over = threading.Event()

    def provoke(self, kind: str) -> bool:
        """Begin it in the background; return whether it was not under way already."""
        if self._is_under_way(kind):
            return False
        thread = threading.Thread(target=self.kinds[kind], daemon=True)
        self._under_way[kind] = thread
        thread.start()
        return True

    def end(self) -> None:
        """Bring back what is away, and wait for that."""
        self._over.set()
        if "away" in self._under_way:
            self._under_way["away"].join()

    def now(self) -> dict[str, Any]:
        people = {doing.value: self._people[doing] for doing in ENDINGS}
        gone = sum(people.values())
        return {
            "under_way": {kind: self._is_under_way(kind) for kind in self.kinds},
            "people": people,
            "here": self._people.total() - gone,
        }

    def _is_under_way(self, kind: str) -> bool:
        return kind in self._under_way and self._under_way[kind].is_alive()

    def _rush(self) -> None:
        self._people = Counter()

        def tell(now: Counter[Doing]) -> None:
            self._people = now

        plan = Plan(
            self.shop.url,
            self.people,
            self.within,
            events=len(EVENT_IDS),
            patience=self.patience,
        )
        seen = come(plan, tell)
        self._people = Counter(
            doing for _, _, doing in seen.moments if doing in ENDINGS
        )

    def _slow(self) -> None:
        reports = [threading.Thread(target=self._report) for _ in range(SLOW_REPORTS)]
        for report in reports:
            report.start()
        for report in reports:
            report.join()

    def _report(self) -> None:
        connection = http.client.HTTPConnection(
            self.shop.host, self.shop.port, timeout=REPORT_TIMEOUT
        )
        try:
            connection.request("GET", "/report")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            pass  # it is there to occupy a connection, whatever becomes of it
        finally:
            connection.close()

    def _away(self) -> None:
        self.database.stop()
        try:
            self._over.wait(self.away_seconds)
        finally:
            self.database.start()
