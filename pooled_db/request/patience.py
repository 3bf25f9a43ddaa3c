"""For how long refusals are held back: as far as that lowers the arrivals."""

from __future__ import annotations

from .traffic import Traffic

#: Seconds over which requests and refusals are counted, before a pause and at its end.
BEFORE = 0.3
WINDOW = 0.1
#: A pause has an effect if it leaves less than this share of the requests, but for
#: those of clients that have been served.
LEFT = 0.4
#: For how long refusals pause to see that, in seconds: until fewer arrive, until they
#: should have, and at most if the loop has not yet got round to all who have arrived:
#: it is late, or so many times more come than before the pause.
FIRST_WINDOWS = 0.15
PAUSE = 0.2
LONGEST_PAUSE = 1.5
MORE = 1.3
#: What is left of the longest after each pause without effect: that is how long clients
#: who do not care are kept waiting.
LESS_PAUSE = 0.3
#: For how many seconds counts are of use.
MEMORY = BEFORE + LONGEST_PAUSE
#: For how long there have been refusals before the first.
KNOWN = 0.5
#: Seconds until the next pause: after one without effect, which doubles each time, and
#: while refusals are held back.
RETRY, LONGEST_RETRY = 2.0, 30.0
CHECK = 2.0
#: From fewer refusals than leave in one window nothing can be told.
FEWEST = 4
#: How late the loop is, in seconds, when those who are served wait for it noticeably,
#: and when it has not got round to all who have arrived.
LATE = 0.004
SWAMPED = 0.03
#: How long refusals that may leave have waited for their turn when there are too many,
#: and how many leave for each connection that is lent.
OVERDUE = 0.03
TOO_MANY = 3.0
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

    *traffic* is counted before each look. All times are in seconds of one clock.
    """

    def __init__(self, traffic: Traffic) -> None:
        #: For how long a refusal is held back.
        self.hold: float = 0.0
        #: Whether none leaves now.
        self.paused: bool = False
        self._most = float("inf")
        self._lag = 0.0
        self._latest_lag = 0.0
        self._traffic = traffic
        self._paused_at = 0.0
        self._swamped_at = float("-inf")
        self._asking_before = 0.0
        self._lending_before = 0.0
        self._failures = 0
        self._next_pause = 0.0
        self._adapted = 0.0

    @property
    def in_vain(self) -> bool:
        """Whether clients have been seen to come whatever the answers."""
        return self._failures > 0

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
        if self.paused:
            self._judge_pause(now)
            return
        if self.hold:
            self._adapt(now, min(wanted, longest, self._most))
        if now >= self._next_pause:
            self._pause(now, is_due=self._lag > LATE or overdue > OVERDUE)

    def end(self) -> None:
        """Nobody has been refused for some time."""
        self.hold = 0.0
        self.paused = False
        self._most = float("inf")
        self._failures = 0
        self._next_pause = 0.0

    def _pause(self, now: float, is_due: bool) -> None:
        """See what becomes of arrivals, if it *is_due* or many are refused at first."""
        asking, leaving, lending = self._traffic.rates(BEFORE)
        too_many = leaving > TOO_MANY * lending and not self._failures
        if not (is_due or self.hold or too_many):
            return
        known = now - self._traffic.since
        if known > KNOWN and leaving * WINDOW >= FEWEST:
            self.paused = True
            self._paused_at = now
            self._asking_before, self._lending_before = asking, lending

    def _judge_pause(self, now: float) -> None:
        elapsed = now - self._paused_at
        if elapsed < FIRST_WINDOWS:
            return
        asking, _, _ = self._traffic.rates(WINDOW)
        if self._latest_lag > SWAMPED or asking > MORE * self._asking_before:
            self._swamped_at = now
        # One window later it shows whether that was all.
        swamped = now - self._swamped_at <= WINDOW
        longest = max(PAUSE, LONGEST_PAUSE * LESS_PAUSE**self._failures)
        ceases = self._latest_lag <= SWAMPED and self._has_effect(WINDOW)
        if ceases and self._has_effect(2 * WINDOW):  # one gap tells little
            self._succeeds(now)
        elif elapsed >= (longest if swamped or ceases else PAUSE):
            self._fails(now)

    def _has_effect(self, seconds: float) -> bool:
        asking, _, _ = self._traffic.rates(seconds)
        served = min(self._lending_before, self._asking_before)
        return asking < served + LEFT * (self._asking_before - served)

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
