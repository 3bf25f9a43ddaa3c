"""Who gives connections back when others of the same server have fewer."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pooled_db import state
from pooled_db.pool import siblings as siblings_module
from pooled_db.pool import state_file
from pooled_db.pool.gate import Gate
from pooled_db.pool.limit import Limit
from pooled_db.pool.numbers import LIMIT, Numbers
from pooled_db.pool.share import Share, Sibling
from pooled_db.pool.siblings import SiblingPools
from tests.clock import Clock
from tests.gates import hold, queue

LIMIT_OF_EACH = 10
#: Documented: who was refused a connection within so many seconds wants more.
RECENT = 2.0
PLACE = "the server"


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


@pytest.mark.parametrize(
    ("count", "siblings", "is_contended", "all_needed", "pause"),
    [
        # Once in 7 s each where nobody is seen, and once in 60 s otherwise.
        (10, [], True, True, 0.7),
        (4, [], True, True, 1.75),
        (1, [], True, True, 2.5),
        (0, [], True, True, 2.5),
        (10, [], False, True, 2.5),
        (10, [content(10)], True, True, 0.5),
        # Nobody looks often who has something to spare, or to whom nothing was refused.
        (10, [content(10)], True, False, 2.5),
        (5, [content(5)], False, True, 2.5),
    ],
)
def test_when_it_looks_again(
    count: int,
    siblings: list[Sibling],
    is_contended: bool,
    all_needed: bool,
    pause: float,
) -> None:
    pool = InTurn(count, *siblings)
    if is_contended:
        pool.limit.failed(pool.clock.now + 1.0, "it has no more", no_room=True)
    assert pool.share.is_looking == is_contended
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


# What is seen of others.


@pytest.fixture
def numbers(tmp_path: Path) -> Numbers:
    made = state_file.create(tmp_path, 4, {"alias": "default", "place": PLACE})
    made.words[LIMIT] = 4
    return made


@pytest.mark.parametrize("kind", ["gone", "no file", "empty"])
def test_what_cannot_be_read_is_nobodys(tmp_path: Path, kind: str) -> None:
    """Its process has ended just then, say."""
    path = tmp_path / "1-a.pool"
    if kind == "gone":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "no file":
        path.mkdir()
    else:
        path.touch()
    assert others(tmp_path)() == []


def others(directory: Path, own: str = "") -> SiblingPools:
    return SiblingPools(directory, PLACE, own)


def test_a_pool_is_seen_with_what_it_has(tmp_path: Path, numbers: Numbers) -> None:
    siblings = others(tmp_path)
    assert siblings() == [Sibling(0, 4, is_hungry=False)]

    slots = [numbers.occupy(number) for number in (7, 8, 9)]
    assert slots[0] is not None
    numbers.vacate(slots[0])
    numbers.had_no_room(time.monotonic())

    assert siblings() == [Sibling(2, 4, is_hungry=True)]
    numbers.had_no_room(time.monotonic() - RECENT)
    assert siblings() == [Sibling(2, 4, is_hungry=False)]


def test_a_pool_with_all_that_it_may_have_is_not_hungry(
    tmp_path: Path, numbers: Numbers
) -> None:
    for number in range(1, 5):
        numbers.occupy(number)
    numbers.had_no_room(time.monotonic())
    assert others(tmp_path)() == [Sibling(4, 4, is_hungry=False)]


def test_neither_itself_nor_other_servers_are_seen(
    tmp_path: Path, numbers: Numbers
) -> None:
    elsewhere = state_file.create(tmp_path, 4, {"alias": "other", "place": "another"})
    older = state_file.create(tmp_path, 4, {"alias": "default"})
    (tmp_path / "broken.pool").write_bytes(b"no head")
    assert numbers.file is not None

    assert others(tmp_path, own=numbers.file)() == []
    assert len(others(tmp_path)()) == 1
    assert others(tmp_path / "nowhere")() == []
    del elsewhere, older


def test_where_no_process_shares_its_numbers_nobody_is_seen(
    numbers: Numbers, settings: Any
) -> None:
    settings.POOLED_DB = {"STATE_DIR": None}
    assert not state.siblings_of(numbers, PLACE)()


def open_files() -> list[str]:
    """What this process has open, as long as the system tells."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the directory itself
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return found


def test_a_pool_that_nobody_has_any_more_is_not_seen(tmp_path: Path) -> None:
    made = state_file.create(tmp_path, 4, {"alias": "default", "place": PLACE})
    (tmp_path / "broken.pool").write_bytes(b"no head")
    siblings = others(tmp_path)
    assert len(siblings()) == len(siblings()) == 1
    del made
    gc.collect()
    assert siblings() == []
    gc.collect()
    assert not [one for one in open_files() if one.startswith(str(tmp_path))]


def test_a_file_is_opened_once(
    tmp_path: Path, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, open_it = [], siblings_module._opened

    def opens(path: Path, place: str) -> Any:
        opened.append(path.name)
        return open_it(path, place)

    monkeypatch.setattr(siblings_module, "_opened", opens)
    siblings = others(tmp_path)
    assert siblings() == siblings()
    assert opened == [numbers.file]


def test_a_process_that_has_ended_is_not_seen(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, time\n"
        "from pooled_db.pool import state_file\n"
        f"about = {{'alias': 'default', 'place': {PLACE!r}}}\n"
        "made = state_file.create(pathlib.Path(sys.argv[1]), 4, about)\n"
        "print('made', flush=True)\n"
        "time.sleep(600)\n"
    )
    siblings = others(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(siblings()) == 1
        os.kill(process.pid, signal.SIGKILL)
    assert siblings() == []
    # Processes come and go, and nobody may look who removes their files.
    assert not [one for one in open_files() if one.startswith(str(tmp_path))]
    (file,) = tmp_path.glob("*.pool")
    file.unlink()
    assert siblings() == []


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
