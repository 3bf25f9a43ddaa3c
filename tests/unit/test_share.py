"""Who gives connections back when others of the same server have fewer."""

from __future__ import annotations

import random

import pytest

from pooled_db.pool.gate import Gate
from pooled_db.pool.limit import Limit
from pooled_db.pool.share import Share, Sibling
from tests.clock import Clock
from tests.gates import hold, queue

LIMIT_OF_EACH = 10


class Connection:
    """What is looked at when it is decided which one goes."""

    def __init__(self) -> None:
        self.makes_room = self.is_doubtful = False
        self.closed_for: str | None = None


class Store:
    """Some connections, all of them in use but *parked*."""

    def __init__(self, count: int, parked: int = 0) -> None:
        self.open = {Connection(): None for _ in range(count)}
        self.parked = parked

    def close_some_parked(self, most: int) -> int:
        closed = min(most, self.parked)
        self.parked -= closed
        for _ in range(closed):
            self.open.popitem()
        return closed


def gives_back(count: int, *siblings: Sibling, waiting: bool = False) -> int:
    """How many of *count* connections a pool gives back that was never refused."""
    gate = Gate(LIMIT_OF_EACH, clock=lambda: 0.0)
    if waiting:
        for _ in range(LIMIT_OF_EACH):
            hold(gate)
        queue(gate)
    store = Store(count)
    limit = Limit("default", gate, lambda: len(store.open))
    share = Share(store, limit, gate, lambda: siblings)  # type: ignore[arg-type]
    share.look(0.0, all_needed=True)
    assert gate.limit == LIMIT_OF_EACH  # nothing was closed, whose room others may have
    return count - sum(not one.makes_room for one in store.open)


def hungry(count: int) -> Sibling:
    return Sibling(count, LIMIT_OF_EACH, is_hungry=True)


def content(count: int) -> Sibling:
    return Sibling(count, LIMIT_OF_EACH, is_hungry=False)


@pytest.mark.parametrize(
    ("count", "siblings", "given"),
    [
        (10, [hungry(0)], 5),
        (10, [hungry(0), content(10)], 3),
        (7, [hungry(7), hungry(6), hungry(0)], 2),
        (6, [hungry(4)], 1),
        # One who may have no more keeps nobody from giving.
        (6, [hungry(4), Sibling(4, 4, is_hungry=False)], 1),
        # There is less than one for each, or one and a half.
        (2, [hungry(0), hungry(0)], 1),
        (3, [hungry(1), hungry(1)], 1),
        # No more than one has more than the other: they keep what they have.
        (5, [hungry(4), hungry(5), hungry(6)], 0),
        (5, [hungry(5), hungry(5)], 0),
        (3, [hungry(7)], 0),
        # Nobody wants any.
        (10, [content(0), content(3)], 0),
        (10, [], 0),
        # The last one stays, as long as somebody needs it.
        (2, [hungry(1)], 0),
    ],
)
def test_who_has_more_than_the_average_gives_the_rest_back(
    count: int, siblings: list[Sibling], given: int
) -> None:
    assert gives_back(count, *siblings) == given


def test_some_of_those_who_have_most_give_to_who_has_least() -> None:
    """Nobody has more than the average of 2.5 rounded up; one of six is to give one."""
    random.seed(1)
    siblings = [hungry(3)] * 5 + [hungry(2), hungry(0)]

    given = [gives_back(3, *siblings) for _ in range(600)]

    assert set(given) == {0, 1}
    assert sum(given) == pytest.approx(2 * 600 / 6, rel=0.25)


@pytest.mark.parametrize(
    ("lot", "count", "siblings", "given"),
    [
        # Three of ten have most, and two are lacking.
        (0.66, 3, [hungry(3)] * 2 + [hungry(2)] * 6 + [hungry(0)], 1),
        (2 / 3, 3, [hungry(3)] * 2 + [hungry(2)] * 6 + [hungry(0)], 0),
        # One of two gives its last one, which it does not need.
        (0.49, 1, [hungry(1), hungry(0)], 1),
        (0.5, 1, [hungry(1), hungry(0)], 0),
        (0.0, 1, [content(0), hungry(1)], 0),
        # What is lacking has who has five.
        (0.0, 3, [hungry(5), hungry(3), hungry(0)], 0),
        # Who has no more than enough gives none.
        (0.0, 2, [hungry(3)] * 3 + [hungry(0)], 0),
        # Who has fewest may have no more, and the other has as many as are enough.
        (0.0, 4, [hungry(3), Sibling(2, 2, is_hungry=False)], 0),
    ],
)
def test_as_many_give_one_as_are_lacking(
    lot: float,
    count: int,
    siblings: list[Sibling],
    given: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", lambda: lot)
    # More than half of what it may have would be given back in turn as well.
    assert gives_back(count, *siblings) == given


def test_the_last_that_nobody_needs_goes_to_who_has_none() -> None:
    assert gives_back(1, hungry(0)) == 1
    assert gives_back(1, hungry(0), waiting=True) == 0
    assert gives_back(1, content(0), hungry(1)) == 0


@pytest.mark.parametrize("without", [1, 2])
def test_one_of_those_who_have_one_gives_it_to_each_who_has_none(without: int) -> None:
    """Of four, whether they want more or not."""
    random.seed(1)
    siblings = [hungry(1), content(1), content(1)] + [hungry(0)] * without

    given = [gives_back(1, *siblings) for _ in range(600)]

    assert set(given) == {0, 1}
    assert sum(given) == pytest.approx(without * 600 / 4, rel=0.25)


def test_what_is_idle_goes_first() -> None:
    gate = Gate(LIMIT_OF_EACH, clock=lambda: 0.0)
    store = Store(10, parked=3)
    limit = Limit("default", gate, lambda: len(store.open))
    share = Share(store, limit, gate, lambda: [hungry(0)])  # type: ignore[arg-type]

    share.look(0.0, all_needed=False)

    assert (len(store.open), store.parked) == (7, 0)
    marked = [one for one in store.open if one.makes_room]
    assert [one.closed_for for one in marked] == ["shared"] * 2
    # The room is not taken back at once.
    assert (gate.limit, gate.raise_at > 0.2) == (7, True)


# What is given back in turn, in case that somebody is not seen.


class InTurn:
    """A pool that has needed all its connections at every look, twice a second."""

    def __init__(self, count: int, *siblings: Sibling) -> None:
        self.clock = Clock()
        self.siblings = siblings
        self.store = Store(count)
        self.gate = Gate(LIMIT_OF_EACH, clock=self.clock)
        self.limit = Limit("default", self.gate, lambda: len(self.store.open))
        self.share = Share(
            self.store,  # type: ignore[arg-type]
            self.limit,
            self.gate,
            lambda: self.siblings,
        )
        self.share.look(self.clock.now, all_needed=True)

    def gives_back(self, looks: int, *, refused: bool = False) -> int:
        given = 0
        for _ in range(looks):
            self.clock.now += 0.5
            if refused:
                retry_at = self.clock.now + 1.0
                self.limit.failed(retry_at, "it has no more", no_room=True)
            self.share.look(self.clock.now, all_needed=True)
            for connection in self.store.open:
                given += connection.makes_room
                connection.makes_room = False
        return given


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lots that fall to what is at least one half."""
    monkeypatch.setattr(random, "random", lambda: 0.5)


@pytest.mark.usefixtures("half")
def test_what_those_who_are_seen_do_not_get_back_somebody_else_has() -> None:
    """Ten go back once in 60 s each, and once in 7 s where somebody is not seen."""
    pool = InTurn(10, content(8))
    assert pool.gives_back(4, refused=True) == 0

    pool.siblings = (content(4),)
    # Some are just changing hands, for two looks.
    assert [pool.gives_back(1, refused=True) for _ in range(4)] == [0, 0, 1, 1]

    pool.clock.now += 60.0  # that is forgotten
    assert pool.gives_back(4, refused=True) == 0


@pytest.mark.usefixtures("half")
def test_what_all_had_is_remembered_for_a_minute_after_they_had_it_last() -> None:
    pool = InTurn(10, content(8))
    pool.gives_back(118, refused=True)
    pool.siblings = (content(4),)
    assert [pool.gives_back(1, refused=True) for _ in range(4)] == [0, 0, 1, 1]


NEVER, JUST_NOW, BEFORE, LONG_AGO = None, 0.0, 20.0, 60.0


@pytest.mark.parametrize(
    ("count", "siblings", "refused", "all_needed", "pause"),
    [
        # Once in 7 s each where nobody is seen, and once in 60 s otherwise.
        (10, [], JUST_NOW, True, 0.7),
        (4, [], JUST_NOW, True, 1.75),
        (1, [], JUST_NOW, True, 2.5),
        (0, [], JUST_NOW, True, 2.5),
        (10, [], NEVER, True, 2.5),
        (10, [content(10)], JUST_NOW, True, 0.5),
        # Nobody looks often who has something to spare, or to whom nothing was refused.
        (10, [content(10)], JUST_NOW, False, 2.5),
        (5, [content(5)], NEVER, True, 2.5),
        # Within a minute.
        (5, [content(5)], BEFORE, True, 0.5),
        (5, [content(5)], LONG_AGO, True, 2.5),
    ],
)
def test_when_it_looks_again(
    count: int,
    siblings: list[Sibling],
    refused: float | None,
    all_needed: bool,
    pause: float,
) -> None:
    pool = InTurn(count, *siblings)
    if refused is not None:
        pool.limit.failed(pool.clock.now + 1.0, "it has no more", no_room=True)
        pool.clock.now += refused
    assert pool.share.is_looking == (refused == JUST_NOW)
    again = pool.share.look(pool.clock.now, all_needed)
    assert again - pool.clock.now == pytest.approx(pause)


@pytest.mark.parametrize(("count", "given"), [(6, 1), (5, 0)])
def test_who_was_never_refused_and_has_more_than_half_gives_back_as_well(
    count: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.97)
    assert InTurn(count).gives_back(1) == given


@pytest.mark.parametrize(("count", "given"), [(1, 0), (2, 1)])
def test_the_last_one_is_not_given_back_in_turn(
    count: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.999)
    assert InTurn(count).gives_back(2, refused=True) == given


@pytest.mark.parametrize(("seconds", "given"), [(13.5, 2), (14.0, 0)])
def test_what_was_not_looked_at_for_two_turns_is_not_made_up_for(
    seconds: float, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then there was less to do: not all were needed."""
    monkeypatch.setattr(random, "random", lambda: 0.0)
    pool = InTurn(10)
    pool.clock.now += seconds - 0.5
    assert pool.gives_back(1) == given


def test_connections_that_are_opened_meanwhile_keep_it_from_nothing() -> None:
    store = Store(10)

    class Looked(Connection):
        @property
        def makes_room(self) -> bool:
            store.open[Connection()] = None  # as another thread may just now
            return False

        @makes_room.setter
        def makes_room(self, wanted: bool) -> None: ...

    store.open = {Looked(): None, **store.open}
    gate = Gate(LIMIT_OF_EACH, clock=lambda: 0.0)
    limit = Limit("default", gate, lambda: len(store.open))
    share = Share(store, limit, gate, lambda: [hungry(0)])  # type: ignore[arg-type]

    share.look(0.0, all_needed=True)

    assert [one for one in store.open if one.closed_for == "shared"]
