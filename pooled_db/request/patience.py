"""For how long refusals are held back: as far as that lowers the arrivals."""

from __future__ import annotations

from collections import deque

#: Seconds over which arrivals are counted, before a pause and at its end.
BEFORE = 0.3
WINDOW = 0.1
#: A pause has an effect if it leaves less than this share of the arrivals.
RESPONSE = 0.5
#: For how long refusals pause to see that, in seconds: until fewer arrive, until they
#: should have, and at most if the loop has not yet got round to all who have arrived.
FIRST_WINDOWS = 0.15
PAUSE = 0.2
LONGEST_PAUSE = 0.6
#: Seconds until the next pause: after one without effect, which doubles each time, and
#: while refusals are held back.
RETRY, LONGEST_RETRY = 2.0, 30.0
CHECK = 2.0
#: How late the loop is, in seconds, when those who are served wait for it noticeably,
#: and when it has not got round to all who have arrived.
LATE = 0.004
SWAMPED = 0.03
#: How long refusals that may leave have waited for their turn when there are too many.
OVERDUE = 0.03
#: With how long a time to begin, in seconds, and by how much it changes at most in a
#: tenth of one.
FIRST_HOLD = 0.5
STEP = 1.2
#: What is left of it when a longer one has no effect.
LESS = 0.6
#: The weight of the latest value in a mean, which is taken 50 times a second.
WEIGHT = 0.1


class Patience:
    """Finds out whether clients come back when they are answered, and waits for that.

    Clients that retry the moment they are refused use up the processor: holding their
    refusals back keeps them away. Other arrivals do not care, and would only wait. To
    tell them apart, no refusal leaves for a moment: arrivals that cease then were
    answers to answers. While they are, one refusal leaves for each connection that is
    lent. Otherwise they leave at once.

    All times are in seconds of one clock.
    """

    def __init__(self) -> None:
        #: For how long a refusal is held back.
        self.hold: float = 0.0
        #: Whether none leaves now.
        self.paused: bool = False
        self._most = float("inf")
        self._lag = 0.0
        self._latest_lag = 0.0
        self._arrivals: deque[float] = deque()
        self._paused_at = 0.0
        self._rate_before = 0.0
        self._failures = 0
        self._next_pause = 0.0
        self._adapted = 0.0

    @property
    def in_vain(self) -> bool:
        """Whether clients have been seen to come whatever the answers."""
        return self._failures > 0 and not self.hold

    def arrives(self, now: float) -> None:
        """Note that a request has been refused."""
        self._arrivals.append(now)

    def look(
        self, now: float, lag: float, overdue: float, wanted: float, longest: float
    ) -> None:
        """Judge anew, 50 times a second.

        *lag* is how late the loop is, *overdue* for how long the first of those who may
        leave has waited for its turn. *wanted* is for how long to hold refusals back
        if it helps, *longest* for how long in no case.
        """
        self._lag += (lag - self._lag) * WEIGHT
        self._latest_lag = max(lag, self._latest_lag * 0.5)
        while self._arrivals and self._arrivals[0] < now - BEFORE - LONGEST_PAUSE:
            self._arrivals.popleft()
        if self.paused:
            self._judge_pause(now)
            return
        if self.hold:
            self._adapt(now, min(wanted, longest, self._most))
        if now >= self._next_pause and (
            self.hold or self._lag > LATE or overdue > OVERDUE
        ):
            self._pause(now)

    def end(self) -> None:
        """Nobody has been refused for some time."""
        self.hold = 0.0
        self.paused = False
        self._most = float("inf")
        self._failures = 0
        self._next_pause = 0.0

    def _pause(self, now: float) -> None:
        rate = self._rate(now, BEFORE)
        if rate * WINDOW >= 4:  # fewer tell nothing, and take nothing
            self.paused = True
            self._paused_at = now
            self._rate_before = rate

    def _judge_pause(self, now: float) -> None:
        elapsed = now - self._paused_at
        if elapsed < FIRST_WINDOWS:
            return
        swamped = self._latest_lag > SWAMPED
        share = self._rate(now, WINDOW) / self._rate_before
        if share < RESPONSE and not swamped:
            if elapsed < PAUSE + WINDOW and self._rate(now, 2 * WINDOW) >= (
                RESPONSE * self._rate_before
            ):
                return  # one gap tells little
            self._succeeds(now)
        elif elapsed >= (LONGEST_PAUSE if swamped else PAUSE):
            self._fails(now)

    def _succeeds(self, now: float) -> None:
        self.paused = False
        self._failures = 0
        self._most *= 1.1
        if self.hold:
            self._next_pause = now + CHECK
        else:
            self.hold = FIRST_HOLD
            self._next_pause = now + FIRST_HOLD
        self._adapted = now

    def _fails(self, now: float) -> None:
        self.paused = False
        if self.hold * LESS > FIRST_HOLD:
            # Too many others have come: less may still keep some away.
            self.hold = self._most = self.hold * LESS
            self._next_pause = now + FIRST_HOLD
            return
        self.hold = 0.0
        self._most = float("inf")
        self._next_pause = now + min(RETRY * 2**self._failures, LONGEST_RETRY)
        self._failures = min(self._failures + 1, 10)

    def _adapt(self, now: float, wanted: float) -> None:
        if now - self._adapted >= 0.1:
            self._adapted = now
            least, most = self.hold / STEP, self.hold * STEP
            self.hold = max(min(max(wanted, least), most), 0.02)

    def _rate(self, now: float, seconds: float) -> float:
        since = now - seconds
        count = 0
        for at in reversed(self._arrivals):
            if at <= since:
                break
            count += 1
        return count / seconds
