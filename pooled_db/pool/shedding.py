"""When a queue does not absorb a burst but stands, and whom that costs the wait."""

from __future__ import annotations

#: The weight of the latest of the times from which the pace is averaged.
PACE_WEIGHT = 0.0625
#: For how many intervals after an overload its return is recognised sooner (RFC 8289).
RELAPSE = 16


class Shedding:
    """CoDel for one queue, in the form of Ecto's DBConnection and of folly.

    When for *interval* seconds nobody was served within *target* seconds, the queue
    stands. Until nobody waits, or somebody is served within the target while nobody was
    refused for twice the target, whoever would wait for longer than that is refused:

    - a waiter, as soon as it has waited for that long, while more wait than there are
      permits, *capacity*: so there is always somebody to hand a permit to, however
      slowly they come back;
    - a newcomer, at once, if those before it will take that long at the pace at which
      newcomers have been served lately.

    An overload that returns soon after it seemed to be over is recognised after twice
    the target. See
    https://queue.acm.org/detail.cfm?id=2839461,
    https://www.rfc-editor.org/rfc/rfc8289#section-4.2 and
    https://hexdocs.pm/db_connection/DBConnection.html#start_link/2-queue-config

    Whoever calls it holds the queue's lock and tells it the time, in seconds.
    """

    def __init__(self, capacity: int, target: float, interval: float) -> None:
        #: While no more than so many wait, nobody of them is refused.
        self.reserve = capacity
        #: For how many intervals after an overload its return is recognised sooner.
        self.relapse: float = RELAPSE
        self.target = target
        self.interval = interval
        #: Since when nobody was served within the target; ``None`` if somebody was
        #: before the queue stood.
        self.slow_since: float | None = None
        self._ended = self._refused = float("-inf")
        self._last_served: float | None = None
        self._pace = 0.0

    def served_at_once(self, now: float) -> None:
        """Note that nobody had to wait: the queue does not stand."""
        if self.slow_since is not None:
            self._no_longer_slow(now)

    def begins(self, now: float) -> None:
        """Note that the queue was empty, and is so no more."""
        self.served_at_once(now)
        self._last_served = None

    def served(self, waited: float, now: float) -> None:
        """Note that somebody was served after *waited* seconds in the queue."""
        if waited <= self.target:
            # Shed, the queue is short. It is no sign that fewer come: to let them all
            # in again would refuse them together, a moment later.
            if now - self._refused >= 2 * self.target:
                self.served_at_once(now)
        elif self.slow_since is None:
            self.slow_since = now
        if self._last_served is not None:
            self._pace += (now - self._last_served - self._pace) * PACE_WEIGHT
        self._last_served = now

    def overloaded(self, now: float, oldest: float | None) -> bool:
        """Whether the queue stands; *oldest* is when the first in it arrived."""
        since = self.slow_since
        if since is None:
            if oldest is None:
                return False
            # Nothing may have come back for long: the oldest waiter tells.
            since = oldest + self.target
        patience = self.interval
        if since - self._ended < self.relapse * self.interval:
            patience = min(patience, 2 * self.target)
        return now - since >= patience

    def turns_away(self, now: float, waiting: int, oldest: float | None) -> bool:
        """Whether a newcomer behind *waiting* others would wait for too long."""
        return waiting >= self._bearable() and self._refuses(now, oldest)

    def gives_up(
        self, now: float, arrived: float, waiting: int, oldest: float | None
    ) -> bool:
        """Whether the waiter who came at *arrived* has waited for too long."""
        return (
            now - arrived >= 2 * self.target
            and waiting > self.reserve
            and self._refuses(now, oldest)
        )

    def review_at(self, now: float, arrived: float) -> float:
        """When to ask again whether the waiter who came at *arrived* gives up."""
        review = arrived + 2 * self.target
        return review if review > now else now + self.interval

    def _refuses(self, now: float, oldest: float | None) -> bool:
        """Whether the queue stands, and somebody is refused for it."""
        if not self.overloaded(now, oldest):
            return False
        if self.slow_since is None and oldest is not None:
            self.slow_since = oldest + self.target
        self._refused = now
        return True

    def _bearable(self) -> float:
        """How many may wait without the last waiting for twice the target."""
        if self._pace <= 0.0:
            return float("inf")
        return max(self.reserve, 2 * self.target / self._pace)

    def _no_longer_slow(self, now: float) -> None:
        if self.overloaded(now, None):
            self._ended = now
        self.slow_since = None
