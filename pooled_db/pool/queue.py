"""Who waits in front of a gate, and who of them is next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator

from ..exceptions import Reason
from .lane import Lane
from .permit import Permit
from .shedding import Shedding

#: For what part of an interval a crowd must have stood before it is too many.
CROWDED = 0.4
#: For how many intervals after an overload a crowd is too many from its first moment.
WAVES = 2
#: How many with priority are served in a row before one of the others is.
PRIOR_IN_A_ROW = 3


class Queue:
    """Three classes of waiters: those who have begun, those with priority, the rest.

    Those who have begun go first, in order of arrival, and are not shed. Then those
    with priority, but for one in four. *capacity* permits are waited for; the others
    are :class:`~pooled_db.pool.gate.Gate`'s. Whoever asks holds its lock.
    """

    def __init__(
        self,
        capacity: int,
        *,
        max_waiting: int | None,
        target: float | None,
        interval: float,
        crowd: int | None,
    ) -> None:
        self.max_waiting = max_waiting
        self.crowd = crowd
        self.begun: OrderedDict[Permit, None] = OrderedDict()
        self._lane, self._prior_lane = (
            Lane(None if target is None else Shedding(capacity, target, interval))
            for _ in range(2)
        )
        #: Those who stand in the lanes, in order of arrival.
        self.newcomers: OrderedDict[Permit, None] = self._lane.order
        self.prior: OrderedDict[Permit, None] = self._prior_lane.order
        self.shedding: Shedding | None = self._lane.shedding
        self._interval = interval
        self._crowded_since: float | None = None
        #: When the queue was last seen to stand.
        self._overloaded_at = float("-inf")
        self._prior_in_a_row = 0

    def __len__(self) -> int:
        return len(self.begun) + len(self.prior) + len(self.newcomers)

    def __iter__(self) -> Iterator[Permit]:
        yield from self.begun
        yield from self.prior
        yield from self.newcomers

    @property
    def latest(self) -> Permit | None:
        """Who will be here for longest."""
        line = self.newcomers or self.prior or self.begun
        return next(reversed(line)) if line else None

    @property
    def since(self) -> float:
        """Since when somebody waits; 0.0 if nobody does."""
        lines = (self.begun, self.prior, self.newcomers)
        return min((next(iter(line)).arrived for line in lines if line), default=0.0)

    def overloaded(self, now: float) -> bool:
        """Whether it has stood for so long that it is being shed."""
        return (
            self.shedding is not None
            and bool(self.newcomers)
            and self.shedding.overloaded(now, self._lane.oldest)
        )

    def at_a_glance(self, now: float) -> tuple[int, float, bool]:
        """How many wait, since when, and whether they are being shed.

        Told whenever somebody comes or goes, so without a call where only newcomers
        wait, and the first of them not yet for the target.
        """
        newcomers, shedding = self.newcomers, self.shedding
        if not newcomers or self.begun or self.prior:
            return len(self), self.since, self.overloaded(now)
        oldest = next(iter(newcomers)).arrived
        overloaded = (
            shedding is not None
            and (shedding.slow_since is not None or now - oldest > shedding.target)
            and shedding.overloaded(now, oldest)
        )
        return len(newcomers), oldest, overloaded

    def limit_changed(self, limit: int) -> None:
        """Note that *limit* permits may be held now."""
        for lane in (self._lane, self._prior_lane):
            if lane.shedding is not None:
                lane.shedding.reserve = limit

    # Coming.

    def lets_in(
        self, permit: Permit, held: Collection[Permit], open_to_all: int
    ) -> bool:
        """Whether newcomer *permit* may have one that is free; otherwise as `next`."""
        if not permit.is_known or self.prior:
            return False
        if not permit.priority:
            return not self.newcomers and len(held) < open_to_all
        if self.newcomers:
            if self._others_are_up(held, open_to_all):
                return False
            self._prior_in_a_row += 1
        return True

    def turns_away(self, permit: Permit, now: float) -> tuple[Permit, Reason] | None:
        """Who cannot stay if *permit* comes, it or another in its place, and why."""
        lane = self._lane_of(permit)
        full = (
            permit.bounded
            and self.max_waiting is not None
            and len(self) >= self.max_waiting
        )
        crowded = lane is not None and self._is_crowded(now) and not permit.priority
        displaced = self._displaced_by(permit) if full or crowded else None
        if full and displaced is None:
            return permit, Reason.QUEUE_FULL
        if now >= permit.deadline:
            return permit, Reason.TIMEOUT
        if lane is not None and lane.turns_away(permit, now):
            self._overloaded_at = now
            return permit, Reason.OVERLOADED
        if full or crowded:
            why = Reason.QUEUE_FULL if full else Reason.OVERLOADED
            return displaced or permit, why
        return None

    def add(self, permit: Permit) -> None:
        lane = self._lane_of(permit)
        if lane is None:
            self.begun[permit] = None
        else:
            lane.add(permit)

    def add_first(self, permit: Permit) -> None:
        """Let *permit* be the next, but for those who came before it and wait again."""
        again = [one for one in self.begun if one.waits_again]
        earlier = [one for one in again if one.arrived <= permit.arrived]
        for one in (permit, *reversed(earlier)):
            self.begun[one] = None
            self.begun.move_to_end(one, last=False)

    def _is_crowded(self, now: float) -> bool:
        """Whether there are too many, and have been for some time.

        That is over when half have gone: one fewer is no sign that fewer come. Soon
        after an overload a crowd is no burst, but one from its first moment.
        """
        if self.crowd is None:
            return False
        waiting = self._requests()
        if waiting < self.crowd / 2:
            self._crowded_since = None
        if waiting < self.crowd:
            return False
        if self._crowded_since is None:
            self._crowded_since = now
        if now - self._crowded_since >= CROWDED * self._interval:
            self._overloaded_at = now
        return now - self._overloaded_at < WAVES * self._interval

    def _requests(self) -> int:
        """How many requests wait.

        One that has begun may do so in several threads, and some are of none.
        """
        begun = {permit.requester for permit in self.begun} - {None}
        return len(begun) + len(self.prior) + len(self.newcomers)

    def _displaced_by(self, permit: Permit) -> Permit | None:
        """Who goes for *permit* when there are too many, if not it itself.

        The last of the longest line goes for one of a shorter line, or with priority.
        """
        last = self._lane.last_of_longest()
        if last is None or permit.begun:
            return None
        own = self._lane.length_of_line(permit)
        if permit.priority or self._lane.length_of_line(last) > own + 1:
            return last
        return None

    def _lane_of(self, permit: Permit) -> Lane | None:
        if permit.begun:
            return None
        return self._prior_lane if permit.priority else self._lane

    # Going.

    def next(self, held: Collection[Permit], open_to_all: int) -> Permit | None:
        """Who is next, with *held* taken, of which *open_to_all* are not reserved."""
        if self.begun:
            return next(iter(self.begun))
        others = bool(self.newcomers) and (
            len(held) < open_to_all or self._others_are_up(held, open_to_all)
        )
        if self.prior and not (others and self._prior_in_a_row >= PRIOR_IN_A_ROW):
            return self._prior_lane.first()
        return self._lane.first() if others else None

    def _others_are_up(self, held: Iterable[Permit], open_to_all: int) -> bool:
        """Whether one without priority may have what is reserved, in its turn.

        Those with priority would keep all others out for as long as they come. What is
        reserved stays theirs: the others never have more than is open to all.
        """
        return (
            self._prior_in_a_row >= PRIOR_IN_A_ROW
            and sum(map(_is_unprivileged, held)) < open_to_all
        )

    def served(self, permit: Permit, now: float) -> None:
        """Note that *permit*, which was next, has been served."""
        lane = self._lane_of(permit)
        if lane is not None:
            lane.served(permit, now)
            self._prior_in_a_row = self._prior_in_a_row + 1 if permit.priority else 0

    def remove(self, permit: Permit) -> None:
        """Let *permit* stand in it no more, wherever it does."""
        self.begun.pop(permit, None)
        for lane in (self._lane, self._prior_lane):
            if permit in lane.order:
                lane.remove(permit)

    def too_old(self, permit: Permit, now: float) -> Reason | None:
        """Why *permit* has waited for too long, if it has."""
        if now >= permit.deadline:
            return Reason.TIMEOUT
        lane = self._lane_of(permit)
        if lane is not None and lane.gives_up(permit, now):
            self._overloaded_at = now
            return Reason.OVERLOADED
        return None


def _is_unprivileged(permit: Permit) -> bool:
    return not (permit.begun or permit.priority)
