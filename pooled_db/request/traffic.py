"""How many ask for connections, are refused, and are served, of late."""

from __future__ import annotations

from collections import deque

#: Seconds between two counts.
BEAT = 0.02
#: The weight of the latest count in the mean rate at which connections are lent.
WEIGHT = 0.04


class Traffic:
    """Counts, each some time after the other, remembered for *memory* seconds.

    All times are in seconds of one clock.
    """

    def __init__(self, memory: float) -> None:
        #: How many connections are lent a second, as a mean that follows slowly.
        self.lending: float = 0.0
        self._memory = memory
        # When, and how many had asked by then, had been refused, and been served.
        self._past: deque[tuple[float, int, int, int]] = deque()

    @property
    def since(self) -> float:
        """Since when it is known, as far as it is remembered."""
        return self._past[0][0]

    def begin(self, now: float, left: int) -> None:
        """Note that nobody has asked yet, and *left* refusals have left before."""
        self._note(now, 0, left, 0)

    def count(self, now: float, asked: int, left: int, lent: int) -> None:
        """Note how many have *asked* for a connection so far, how many refusals have
        *left*, and how many connections have been *lent*."""
        before = self._past[-1][3]
        rate = max(lent - before, 0) / BEAT
        self.lending += (rate - self.lending) * WEIGHT
        self._note(now, asked, left, lent)

    def end(self) -> None:
        """Forget what was counted, but not the mean."""
        self._past.clear()

    def rates(self, seconds: float) -> tuple[float, float, float]:
        """How many have asked, been refused, and been served, a second of late."""
        last = self._past[-1]
        for then in reversed(self._past):
            if then[0] <= last[0] - seconds:
                break
        else:
            then = self._past[0]
        span = last[0] - then[0]
        if span <= 0:
            return 0.0, 0.0, 0.0
        asking, leaving, lending = (
            (now - before) / span
            for now, before in zip(last[1:], then[1:], strict=True)
        )
        return asking, leaving, lending

    def _note(self, now: float, asked: int, left: int, lent: int) -> None:
        self._past.append((now, asked, left, lent))
        while self._past[0][0] < now - self._memory:
            self._past.popleft()
