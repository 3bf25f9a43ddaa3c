"""Whether refusals are held back, told from who has asked and who was refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from pooled_db.request.patience import MEMORY, Patience
from pooled_db.request.traffic import BEAT, Traffic

LENT = 80.0


class Flow:
    """Requests and refusals, counted 50 times a second.

    *asking* tells how many ask a second, given the time, and how many refusals left a
    tenth of a second ago. Refusals leave at *leaving* a second while they may.
    """

    def __init__(
        self,
        asking: Callable[[float, float], float],
        leaving: float = 720.0,
        lag: float = 0.0,
    ) -> None:
        self.traffic = Traffic(MEMORY)
        self.traffic.begin(0.0, 0)
        self.patience = Patience(self.traffic)
        self.now = self.asked = self.left = 0.0
        self.pauses: list[float] = []
        self._asking = asking
        self._leaving = leaving
        self._lag = lag
        self._lately = [0.0] * 5

    def go_on(self, seconds: float) -> None:
        patience = self.patience
        end = self.now + seconds
        while self.now < end:
            self.now += BEAT
            free = 0.0 if patience.paused else self._leaving
            leaving = min(free, LENT) if patience.hold else free
            self._lately.append(leaving)
            self.left += leaving * BEAT
            self.asked += self._asking(self.now, self._lately.pop(0)) * BEAT
            lent = self.now * LENT
            self.traffic.count(self.now, int(self.asked), int(self.left), int(lent))
            was_paused = patience.paused
            patience.look(self.now, self._lag, 0.0, 1.0, 5.0)
            if was_paused:
                self.pauses.append(self.now)


def test_clients_that_come_back_when_they_are_refused_are_held_back() -> None:
    flow = Flow(lambda now, left: left + LENT)
    flow.go_on(3.0)
    assert flow.patience.hold > 0.5


def test_a_line_that_takes_arrivals_in_for_a_moment_is_no_sign_of_clients() -> None:
    """They ask, and are not refused yet: that is not what they were held back for."""
    flow = Flow(lambda now, left: 800.0, lag=0.01)
    for _ in range(1000):
        flow.go_on(BEAT)
        assert not flow.patience.hold


def test_whoever_had_not_been_got_round_to_is_waited_for() -> None:
    """The first pause shows a thousand clients that were still to be read."""

    def asking(now: float, left: float) -> float:
        if left:
            return 300.0
        return 1500.0 if since_pause(now) < 0.5 else LENT

    def since_pause(now: float) -> float:
        return now - flow.pauses[0] if flow.pauses else 0.0

    flow = Flow(asking)
    flow.go_on(1.6)
    assert flow.patience.hold
    assert flow.pauses[-1] - flow.pauses[0] > 0.5


def test_a_loop_in_time_looks_once_if_many_are_refused_and_not_if_few() -> None:
    many = Flow(lambda now, left: 800.0)
    many.go_on(60.0)
    assert 0.1 < len(many.pauses) * BEAT < 0.3

    few = Flow(lambda now, left: 200.0, leaving=120.0)
    few.go_on(60.0)
    assert not few.pauses


def test_a_late_loop_looks_ever_more_seldom() -> None:
    flow = Flow(lambda now, left: 800.0, lag=0.01)
    flow.go_on(120.0)
    starts = [
        at
        for at, before in zip(flow.pauses, [0.0, *flow.pauses], strict=False)
        if at - before > 1.5 * BEAT
    ]
    apart = [later - earlier for earlier, later in pairwise(starts)]
    assert [round(each) for each in apart] == [2, 4, 8, 16, 30, 30]


def test_an_overload_that_was_over_is_looked_at_anew() -> None:
    flow = Flow(lambda now, left: 800.0)
    flow.go_on(5.0)
    flow.traffic.end()
    flow.patience.end()
    flow.traffic.begin(flow.now, 0)
    looked = len(flow.pauses)
    flow.go_on(5.0)
    assert len(flow.pauses) > looked


def test_when_nobody_is_refused_any_more_none_is_held_back() -> None:
    flow = Flow(lambda now, left: left + LENT)
    flow.go_on(0.7)
    while not flow.patience.paused:
        flow.go_on(BEAT)
    flow.patience.end()
    assert (flow.patience.paused, flow.patience.hold) == (False, 0.0)
