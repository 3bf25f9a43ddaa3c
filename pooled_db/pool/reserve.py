"""Which permits newcomers without priority may not have."""

from __future__ import annotations

#: For how many seconds after requests have waited for each other permits are kept for
#: those who have begun.
KEPT_SECONDS = 60.0


class Reserve:
    """The permits that are for those with priority, and for those who have begun.

    Of the permits that is *share*, a number below 1. One more is kept each time that
    requests which hold all the others have waited for each other, but no more than half
    of them all: with one that goes round among those who need a second, they end.

    Whoever asks holds the gate's lock.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._kept = 0
        #: When what is kept is kept no more, by the gate's clock.
        self.until: float = float("inf")

    def of(self, limit: int) -> int:
        """How many there are if *limit* may be held."""
        return min(int(self.share * limit) + self._kept, max(0, limit - 1))

    def keep_one(self, limit: int, now: float) -> None:
        """Keep another one."""
        self._kept = min(self._kept + 1, limit // 2)
        self.until = now + KEPT_SECONDS

    def keep_none(self) -> None:
        """Keep none but the share."""
        self._kept = 0
