"""A server that refuses connections is not hammered, on a virtual clock."""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections.abc import Callable

import MySQLdb
import pytest

from pooled_db.pool.outage import Outage, Outages, pause_beside
from tests.clock import Clock
from tests.harness.interrupts import interrupt

#: Documented are pauses of 0.05 to 0.5 s.
FIRST_PAUSE, LONGEST = 0.05, 0.5
#: The longest for the first seconds of an outage.
LONGEST_AT_FIRST, AT_FIRST = 0.25, 10.0
#: How often the tests ask.
STEP = 0.01


class Server:
    """Counts the attempts, and refuses them while it is down."""

    def __init__(self, error: Exception | None = None) -> None:
        self.now = 0.0
        self.attempts = 0
        self.error = error
        self.outage = Outage(lambda: self.now)

    def open(self) -> str:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        return "connection"

    def connect(self) -> str:
        return self.outage.connect(self.open)


DOWN = MySQLdb.OperationalError(2003, "Can't connect")
DENIED = MySQLdb.OperationalError(1045, "Access denied")


@pytest.mark.parametrize("error", [DOWN, DENIED])
def test_all_others_learn_at_once_what_one_attempt_has_learnt(
    error: Exception,
) -> None:
    server = Server(error)
    for _ in range(100):
        with pytest.raises(MySQLdb.OperationalError) as raised:
            server.connect()
        assert raised.value.args == error.args
    assert server.attempts == 1


def test_an_outage_is_known_until_an_attempt_succeeds() -> None:
    clock = Clock()
    outage = Outage(clock)
    assert not outage.is_known

    def fail() -> str:
        raise MySQLdb.OperationalError(2003, "no server")

    known = []
    for attempt in (fail, lambda: "there"):
        with contextlib.suppress(MySQLdb.OperationalError):
            outage.connect(attempt)
        known.append(outage.is_known)
        clock.now += 60.0
    assert known == [True, False]


def test_attempts_become_rarer_and_never_stop() -> None:
    server = Server(DOWN)
    times: list[float] = []
    while server.now < 20.0:
        before = server.attempts
        with pytest.raises(MySQLdb.OperationalError):
            server.connect()
        if server.attempts > before:
            times.append(server.now)
        server.now += 0.01
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert FIRST_PAUSE <= pauses[0] < 0.1
    assert pauses[1] > pauses[0]
    assert pauses[-1] >= LONGEST * 0.8
    assert max(pauses) <= LONGEST + 2 * STEP


def test_a_proxy_that_chooses_another_node_is_noticed_sooner() -> None:
    """Attempts are closer together for the first seconds of each outage."""
    server = Server(DOWN)
    for outage in range(2):
        began = server.now
        times: list[float] = []
        while server.now < began + AT_FIRST:
            before = server.attempts
            with pytest.raises(MySQLdb.OperationalError):
                server.connect()
            if server.attempts > before:
                times.append(server.now)
            server.now += STEP
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert max(pauses) <= LONGEST_AT_FIRST + 2 * STEP, outage
        for _ in range(1000):
            with pytest.raises(MySQLdb.OperationalError):
                server.connect()
            server.now += STEP
        server.error = None
        server.now += LONGEST
        assert server.connect() == "connection"
        server.error = DOWN


def test_a_server_that_is_back_is_noticed_after_one_pause() -> None:
    server = Server(DOWN)
    for _ in range(1000):
        server.now += 0.01
        with pytest.raises(MySQLdb.OperationalError):
            server.connect()
    server.error = None
    server.now += LONGEST

    assert server.connect() == "connection"
    assert server.connect() == "connection"


def test_after_an_outage_the_pauses_begin_anew() -> None:
    server = Server(DOWN)
    pauses: list[float] = []

    def fail() -> None:
        with pytest.raises(MySQLdb.OperationalError):
            server.connect()
        pauses.append(server.outage.retry_at - server.now)
        server.now = server.outage.retry_at

    for _ in range(20):
        fail()
    server.error = None
    server.connect()
    server.error = DOWN
    fail()
    assert FIRST_PAUSE <= pauses[0] <= FIRST_PAUSE * 1.25
    assert FIRST_PAUSE * 2 <= pauses[1] <= FIRST_PAUSE * 2.5 < pauses[-2]
    assert FIRST_PAUSE <= pauses[-1] <= FIRST_PAUSE * 1.25


def test_how_long_the_pauses_become_depends_on_the_error() -> None:
    server, seen = Server(DOWN), []

    def longest(error: MySQLdb.OperationalError) -> float | None:
        seen.append(error)
        return 0.08 if error is DENIED else None

    pauses = []
    for server.error in [DOWN] * 10 + [DENIED]:
        with pytest.raises(MySQLdb.OperationalError):
            server.outage.connect(server.open, longest)
        pauses.append(server.outage.retry_at - server.now)
        server.now = server.outage.retry_at
    assert (seen[0], seen[-1]) == (DOWN, DENIED)
    assert pauses[-2] >= 0.2
    assert 0.08 <= pauses[-1] <= 0.1


def test_one_probes_at_a_time() -> None:
    server = Server(DOWN)
    with pytest.raises(MySQLdb.OperationalError):
        server.connect()
    server.now += 10.0
    inside, leave = threading.Event(), threading.Event()

    def slow() -> str:
        inside.set()
        leave.wait()
        return "connection"

    prober = threading.Thread(target=lambda: server.outage.connect(slow))
    prober.start()
    inside.wait()
    try:
        for _ in range(2):  # who has asked in vain does not let the next try
            with pytest.raises(MySQLdb.OperationalError):
                server.connect()
        assert server.attempts == 1
    finally:
        leave.set()
        prober.join()
    server.error = None
    assert server.connect() == "connection"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TypeError("wrong option")])
def test_what_says_nothing_of_the_server_blocks_nobody(error: BaseException) -> None:
    server = Server(DOWN)
    with pytest.raises(MySQLdb.OperationalError):
        server.connect()
    server.now += 10.0

    def fail() -> str:
        raise error

    with pytest.raises(type(error)):
        server.outage.connect(fail)
    server.error = None
    assert server.connect() == "connection"


@pytest.mark.parametrize("is_back", [True, False])
def test_an_attempt_that_is_interrupted_at_any_moment_is_not_the_last(
    is_back: bool,
) -> None:
    for moment in range(1, 1_000):
        server = Server(DOWN)

        def attempt() -> None:
            with contextlib.suppress(MySQLdb.OperationalError):
                server.connect()  # noqa: B023 - it is called at once

        attempt()
        server.now += 10.0
        server.error = None if is_back else DOWN
        was_there = interrupt(attempt, moment, Outage.__module__)
        server.error = None
        server.now += 10.0
        assert server.connect() == "connection", moment
        if not was_there:
            break
    assert 5 < moment < 999


def test_without_an_outage_all_may_connect_at_once() -> None:
    server = Server()
    barrier = threading.Barrier(4)

    def together() -> str:
        barrier.wait(60)
        return "connection"

    def attempt(outage: Outage, open_connection: Callable[[], str]) -> None:
        outage.connect(open_connection)

    threads = [
        threading.Thread(target=attempt, args=(server.outage, together))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not barrier.broken


def test_the_variables_of_a_failed_attempt_are_not_kept() -> None:
    class Request:
        """What the frames of an attempt lead to."""

    server = Server(DOWN)

    def attempt() -> weakref.ref[Request]:
        request = Request()
        kept = weakref.ref(request)

        def open_for_request() -> None:
            raise MySQLdb.OperationalError(2003, f"Can't connect for {request}")

        with contextlib.suppress(MySQLdb.OperationalError):
            server.outage.connect(open_for_request)
        return kept

    assert attempt()() is None


# Several places, and room beside what there is.


class Place:
    """As where settings lead: two that are made at different times may be one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.name == other.name

    __hash__ = None  # type: ignore[assignment]


class Nowhere:
    """It is itself, and nothing is equal to it."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def test_each_place_has_an_outage_of_its_own() -> None:
    outages, nowhere = Outages(), Nowhere()
    here, there = outages.of(Place("here")), outages.of(Place("there"))
    assert here is not there
    assert outages.of(Place("here")) is here
    assert outages.of(Place("there")) is there
    assert outages.of(nowhere) is outages.of(nowhere) is not here


def test_the_last_64_places_are_remembered() -> None:
    outages = Outages()
    first, *_ = [outages.of(Place(str(number))) for number in range(64)]
    assert outages.of(Place("0")) is first
    outages.of(Place("64"))
    assert outages.of(Place("0")) is not first


@pytest.mark.parametrize(
    ("connections", "pause"), [(0, 0.0), (1, 0.12), (4, 0.48), (12, 1.44), (13, 1.5)]
)
def test_who_has_more_waits_longer_for_room_and_1_5_s_at_most(
    connections: int, pause: float
) -> None:
    assert pause_beside(connections) == pytest.approx(pause)
