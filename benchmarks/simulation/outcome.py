"""What became of the simulated clients, and the figures drawn from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

#: Width of the steps of a series, in seconds.
STEP = 0.25
#: Who waits for less than this, in seconds, notices little.
PROMPT = 0.5


class Outcome:
    """Counts of one run. Times are in seconds.

    An answer is good if it comes within the client's *patience*; one that comes later
    was work for nobody.
    """

    def __init__(self, episode: tuple[float, float], patience: float) -> None:
        self.episode = episode
        self.patience = patience
        self.events = 0
        self.waits: list[float] = []
        self.refusals: list[float] = []
        self.late = 0
        self.lost = 0
        self.longest_idle = 0.0
        self._came: Counter[int] = Counter()
        self._good: Counter[int] = Counter()
        self._prompt: Counter[int] = Counter()
        self._waits: defaultdict[int, list[float]] = defaultdict(list)

    # What the simulation tells.

    def came(self, now: float) -> None:
        self._came[int(now / STEP)] += 1

    def served(self, born: float, now: float, waited: float) -> None:
        """*waited* counts from the client's first attempt until the connection."""
        if now - born > self.patience:
            self.late += 1
            return
        step = int(now / STEP)
        self._good[step] += 1
        self.waits.append(waited)
        self._waits[step].append(waited)
        if waited <= PROMPT:
            self._prompt[int(born / STEP)] += 1

    def refused(self, waited: float) -> None:
        """*waited* counts from this attempt."""
        self.refusals.append(waited)

    def gave_up(self) -> None:
        self.lost += 1

    def idle(self, since: float, until: float) -> None:
        begin, end = self.episode
        stretch = min(until, end) - max(since, begin)
        self.longest_idle = max(self.longest_idle, stretch)

    # The figures.

    @property
    def clients(self) -> int:
        return self._came.total()

    def good(self, begin: float, end: float) -> float:
        """Good answers per second between two moments."""
        steps = range(round(begin / STEP), round(end / STEP))
        return sum(self._good[step] for step in steps) / (len(steps) * STEP)

    def good_by_step(self, duration: float) -> list[float]:
        """Good answers per second in each step."""
        return [self._good[step] / STEP for step in range(round(duration / STEP))]

    def wait_by_step(self, duration: float) -> list[float | None]:
        """The median wait of those who were served in each step."""
        steps = range(round(duration / STEP))
        return [percentile(self._waits.get(step, ()), 0.5) for step in steps]

    def recovery(self) -> float:
        """Seconds from the end of the episode until clients notice nothing any more.

        That is, 19 of 20 who come get a connection promptly, and it stays so.
        """
        end = self.episode[1]
        bad = [
            (step + 1) * STEP
            for step, came in self._came.items()
            if self._prompt[step] < 0.95 * came
        ]
        return max([end, *bad]) - end


def percentile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
