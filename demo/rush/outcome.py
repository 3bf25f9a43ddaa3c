"""One sale on one backend: who came, what they did, and whether the books agree."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from demo.books import Books, Connections, Counting, books_of
from demo.rush.crowd import Plan, Progress, Seen, come
from demo.rush.visit import ENDINGS, Doing
from demo.serving import EVENT_IDS, Backend, Serving, served
from tests.harness.mariadb import MariaDB


@dataclass(frozen=True)
class Outcome:
    backend: Backend
    seen: Seen
    connections: Connections
    books: Books

    @cached_property
    def endings(self) -> Counter[Doing]:
        return Counter(doing for _, _, doing in self.seen.moments if doing in ENDINGS)

    def ever(self, doing: Doing) -> int:
        """How many people did it at some time."""
        return len({who for _, who, done in self.seen.moments if done is doing})

    @cached_property
    def times_to_buy(self) -> list[float]:
        """Seconds from coming to having a ticket, of those who bought; sorted."""
        came: dict[int, float] = {}
        times = []
        for at, who, doing in self.seen.moments:
            if doing is Doing.BOUGHT:
                times.append(at - came[who])
            came.setdefault(who, at)
        return sorted(times)

    def time_to_buy(self, percent: float) -> float:
        """Within what time so many of the buyers had their tickets; nan for nobody."""
        times = self.times_to_buy
        if not times:
            return math.nan
        return times[max(0, math.ceil(len(times) * percent / 100) - 1)]

    @property
    def ended(self) -> float:
        return self.seen.moments[-1][0]


def hold_sale(
    database: MariaDB,
    backend: Backend,
    serving: Serving,
    *,
    people: int,
    within: float,
    deaf: bool = False,
    patience: float = 1.0,
    progress: Progress,
) -> Outcome:
    with served(database, backend, serving) as server:
        counting = Counting(database)
        plan = Plan(server.url, people, within, len(EVENT_IDS), deaf, patience)
        seen = come(plan, progress)
        connections = counting.connections()
        bought = sum(doing is Doing.BOUGHT for _, _, doing in seen.moments)
        return Outcome(backend, seen, connections, books_of(database, backend, bought))
