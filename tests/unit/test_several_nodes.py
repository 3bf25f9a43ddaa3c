"""Several addresses of one name, several nodes behind one address, and their return."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.backends.mysql.base import DatabaseWrapper
from pooled_db.driver.addresses import LONGEST_PAUSE, Addresses
from pooled_db.driver.connection import Connection
from pooled_db.pool.destination import Destination
from pooled_db.pool.loan import Loan
from pooled_db.pool.nodes import MOST_TRIES, WHO
from pooled_db.pool.pool import Pool
from pooled_db.pool.turnover import SHORTEST, SPREAD_OVER, Turnover
from tests.checking import like_the_default
from tests.clock import Clock
from tests.harness.fake_server import FakeServer
from tests.loans import connection_of, lend

NAME = "db.example"
HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nodes() -> Iterator[list[FakeServer]]:
    """Three servers that have one port, each at an address of its own."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(FakeServer(HOSTS[0]))
        others = [
            stack.enter_context(FakeServer(host, first.port)) for host in HOSTS[1:]
        ]
        servers = [first, *others]
        for number, server in enumerate(servers):
            server.answers(WHO, [[f"node{number}", "3306", str(number)]])
        yield servers


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[str]:
    """The addresses that the name stands for; to be changed by the test."""
    found = list(HOSTS)
    resolver = socket.getaddrinfo

    def answer(name: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if name != NAME:
            return resolver(name, port, *args, **kwargs)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(
        "pooled_db.backends.mysql.opening.addresses", Addresses(clock), raising=True
    )
    return found


@pytest.fixture
def pool(nodes: list[FakeServer], resolve: list[str]) -> Iterator[Pool]:
    settings = like_the_default(
        {
            "HOST": NAME,
            "PORT": nodes[0].port,
            "USER": "any",
            "PASSWORD": "any",
            "OPTIONS": {"pool": {}},
        }
    )
    wrapper = DatabaseWrapper(settings, "several")
    wrapper.pool_timeout = 5.0
    home = Destination(settings)
    pool = Pool("several", wrapper.open_connection, pool_size=6, home=home)
    yield pool
    pool.dispose()


def address_of(connection: Connection) -> str | None:
    return connection.address


def open_all(pool: Pool, count: int = 6) -> Counter[str | None]:
    loans = [lend(pool) for _ in range(count)]
    for loan, _ in loans:
        loan.checkin()
    return Counter(address_of(connection) for _, connection in loans)


def test_new_connections_go_to_each_address_in_turn(pool: Pool) -> None:
    assert open_all(pool) == dict.fromkeys(HOSTS, 2)


def test_an_address_that_fails_is_left_and_comes_back(
    pool: Pool, nodes: list[FakeServer], clock: Clock
) -> None:
    for step, code, text in (
        ("greeting", 1040, "Too many connections"),
        ("login", 3032, "The server is currently in offline mode"),
    ):
        nodes[1].says(step, code, text)  # type: ignore[arg-type]
        assert set(open_all(pool)) == {HOSTS[0], HOSTS[2]}
        reached = nodes[1].reached["greeting"]
        for connection in list(pool._store.open):
            connection.expires = 0.0
        assert set(open_all(pool)) == {HOSTS[0], HOSTS[2]}
        assert nodes[1].reached["greeting"] == reached  # it is left alone for a while

        nodes[1].recovers()
        clock.now += LONGEST_PAUSE * 1.25
        for connection in list(pool._store.open):
            connection.expires = 0.0
        assert open_all(pool) == dict.fromkeys(HOSTS, 2)
        for connection in list(pool._store.open):
            connection.expires = 0.0


def test_all_addresses_are_tried_before_the_server_counts_as_unavailable(
    pool: Pool, nodes: list[FakeServer]
) -> None:
    for node in nodes:
        node.says("login", 3032, "The server is currently in offline mode")
    with pytest.raises(ServerUnavailable):
        pool.checkout()
    assert [node.reached["login"] for node in nodes] == [1, 1, 1]


def test_what_no_other_address_cures_is_said_at_once(
    pool: Pool, nodes: list[FakeServer]
) -> None:
    for node in nodes:
        node.says("login", 1045, "Access denied")
    with pytest.raises(Exception, match="Access denied"):
        pool.checkout()
    assert sum(node.reached["login"] for node in nodes) == 1


def test_connections_move_to_an_address_that_is_new_or_back(
    pool: Pool, nodes: list[FakeServer], resolve: list[str]
) -> None:
    resolve.pop()
    open_all(pool, 4)
    resolve.append(HOSTS[2])
    open_all(pool, 5)

    latest = max(connection.expires for connection in list(pool._store.open))
    earliest = min(connection.expires for connection in list(pool._store.open))
    assert latest - earliest <= SPREAD_OVER
    assert pool._connector.turnover._clock() + SPREAD_OVER >= latest


def test_a_session_is_made_as_new_at_its_address(
    pool: Pool, nodes: list[FakeServer]
) -> None:
    for node in nodes:
        node.answers("SELECT @@init_connect, CURRENT_ROLE()", [["", "NONE"]])
    loan, connection = lend(pool)
    connection.query("SET @a = 1")
    connection.store_result()
    loan.checkin()

    loan, again = lend(pool)
    assert again is connection
    loan.checkin()


def test_an_account_is_that_of_the_name_at_each_of_its_addresses(
    pool: Pool, nodes: list[FakeServer]
) -> None:
    """One that is refused is tried no more, until somebody is let in anywhere."""

    def logins() -> int:
        return sum(node.reached["change_user"] for node in nodes)

    def end_dirty(loan: Loan) -> None:
        connection_of(loan).query("SET @a = 1")
        connection_of(loan).store_result()
        loan.checkin()

    loans = [lend(pool)[0] for _ in range(6)]
    for node in nodes:
        node.says("change_user", 1045, "Access denied")
    for loan in loans[:3]:
        end_dirty(loan)
    assert logins() == 1
    lend(pool)[0].checkin()  # it opens one
    for loan in loans[3:]:
        end_dirty(loan)
    assert logins() == 2


# Several nodes behind one address.


@pytest.fixture
def behind_proxy(
    nodes: list[FakeServer], monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> Iterator[Callable[..., Pool]]:
    """Make a pool whose proxy leads to each node in turn."""
    turn = iter(range(10_000))
    made: list[Pool] = []

    def connect() -> Connection:
        node = nodes[next(turn) % len(nodes)]
        return Connection(
            host=node.host,
            port=node.port,
            user="any",
            password="any",
            autocommit=True,
        )

    def make(check: str | None) -> Pool:
        pool = Pool("proxied", connect, pool_size=6, check_on_connect=check)
        pool._connector.nodes._clock = clock
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.dispose()


CHECK = "SELECT @@read_only = 0"


@pytest.mark.parametrize("answer", ["0", "OFF", "", "no"])
def test_a_node_that_does_not_pass_gets_no_connection(
    nodes: list[FakeServer], behind_proxy: Callable[..., Pool], answer: str
) -> None:
    for node in nodes:
        node.answers(CHECK, [["1"]])
    nodes[1].answers(CHECK, [[answer]])
    pool = behind_proxy(CHECK)

    loans = [lend(pool) for _ in range(6)]

    assert {connection.node for _, connection in loans} == {
        ("node0", "3306", "0"),
        ("node2", "3306", "2"),
    }
    for loan, _ in loans:
        loan.checkin()


def test_what_leads_to_a_node_that_does_not_pass_is_closed(
    nodes: list[FakeServer],
    behind_proxy: Callable[..., Pool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for node in nodes:
        node.answers(CHECK, [["0"]])
    pool = behind_proxy(CHECK)
    connect, opened = pool.connect, []

    def keep() -> Connection:
        opened.append(connect())
        return opened[-1]

    monkeypatch.setattr(pool, "connect", keep)
    with pytest.raises(ServerUnavailable):
        pool.checkout()

    assert [connection.open for connection in opened] == [0] * MOST_TRIES


def test_another_node_is_tried_where_one_says_that_it_cannot_serve(
    nodes: list[FakeServer], behind_proxy: Callable[..., Pool]
) -> None:
    nodes[0].says("query", 1047, "WSREP has not yet prepared node for application use")
    nodes[1].says("query", 3032, "The server is currently in offline mode")
    pool = behind_proxy("DO 1")

    loan = pool.checkout()

    assert connection_of(loan).node == ("node2", "3306", "2")
    loan.checkin()


def test_a_node_that_did_not_pass_is_held_off_without_a_check(
    nodes: list[FakeServer],
    behind_proxy: Callable[..., Pool],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For 2.5 s at the longest."""
    monkeypatch.setattr("pooled_db.pool.nodes.random.uniform", lambda low, high: high)
    for node in nodes:
        node.answers(CHECK, [["0"]])
    pool = behind_proxy(CHECK)
    with pytest.raises(ServerUnavailable) as refused:
        pool.checkout()
    assert refused.value.why == "the node did not pass check_on_connect"
    assert sum(node.reached["login"] for node in nodes) == MOST_TRIES
    since = clock.now

    for node in nodes:
        node.answers(CHECK, [["1"]])
    pool._connector.outages.may_end()
    clock.now = since + 2.4
    with pytest.raises(ServerUnavailable, match="held off"):
        pool.checkout()
    # Who has been sent away there makes it no longer.
    clock.now = since + 2.5
    pool._connector.outages.may_end()
    pool.checkout().checkin()


def test_the_idle_connections_of_a_node_that_fails_are_not_lent(
    nodes: list[FakeServer], behind_proxy: Callable[..., Pool]
) -> None:
    for node in nodes:
        node.answers(CHECK, [["1"]])
    pool = behind_proxy(CHECK)
    loans = [lend(pool) for _ in range(6)]
    _, connection = loans[0]
    for loan, _ in loans[1:]:
        loan.checkin()
    nodes[0].says("query", 1047, "WSREP has not yet prepared node for application use")
    with pytest.raises(Exception, match="WSREP"):
        connection.query("UPDATE items SET n = 1")
    loans[0][0].checkin()

    left = [lend(pool) for _ in range(4)]

    assert ("node0", "3306", "0") not in {other.node for _, other in left}
    for loan, _ in left:
        loan.checkin()


def test_they_are_not_lent_while_nothing_can_be_opened_either(
    nodes: list[FakeServer], behind_proxy: Callable[..., Pool]
) -> None:
    for node in nodes:
        node.answers(CHECK, [["1"]])
    pool = behind_proxy(CHECK)
    pool.timeout = 0.1
    loans = [lend(pool) for _ in range(4)]
    assert loans[0][1].node == loans[3][1].node
    for node in nodes:
        node.says("login", 3032, "The server is currently in offline mode")
    with pytest.raises((PoolTimeout, ServerUnavailable)):
        pool.checkout()
    nodes[0].says("query", 1047, "WSREP has not yet prepared node for application use")
    with pytest.raises(Exception, match="WSREP"):
        loans[0][1].query("UPDATE items SET n = 1")
    for loan, _ in loans:
        loan.checkin()

    left = [lend(pool) for _ in range(2)]

    assert {other.node for _, other in left} == {
        ("node1", "3306", "1"),
        ("node2", "3306", "2"),
    }
    with pytest.raises((PoolTimeout, ServerUnavailable)):
        pool.checkout()
    for loan, _ in left:
        loan.checkin()


# How long connections live.


def test_a_connection_lives_for_recycle_where_nothing_has_failed(clock: Clock) -> None:
    turnover = Turnover(1800.0, clock)
    ends = [turnover.end_of(clock.now) - clock.now for _ in range(100)]
    assert 1620 <= min(ends) < max(ends) <= 1800


@pytest.mark.parametrize(
    ("since", "longest"), [(0, SHORTEST), (60, SHORTEST), (3600, 900), (8000, 1800)]
)
def test_after_a_failure_connections_live_shorter(
    clock: Clock, since: float, longest: float
) -> None:
    """A node that comes back within two minutes has its share half a minute later."""
    turnover = Turnover(1800.0, clock)
    turnover.failed([])
    clock.now += since
    ends = [turnover.end_of(clock.now) - clock.now for _ in range(100)]
    assert longest / 2 <= min(ends) < max(ends) <= longest


def test_open_connections_end_one_by_one_after_a_failure(
    clock: Clock, pool: Pool
) -> None:
    open_all(pool)
    connections = list(pool._store.open)
    turnover = Turnover(1800.0, clock)
    for connection in connections:
        connection.expires = clock.now + 1800
    turnover.failed(connections)

    ends = sorted(connection.expires - clock.now for connection in connections)
    assert SPREAD_OVER / 2 <= ends[0] < ends[-1] <= SPREAD_OVER
    assert len({round(end, 3) for end in ends}) == len(ends)


def test_failures_within_a_second_are_one(clock: Clock, pool: Pool) -> None:
    """Each would let all end sooner than the one before: at last all at once."""
    loan, connection = lend(pool)
    loan.checkin()
    turnover = Turnover(1800.0, clock)
    ended = []
    for seconds in (0.0, 0.9, 0.1):
        clock.now += seconds
        connection.expires = float("inf")
        turnover.failed([connection])
        ended.append(connection.expires < float("inf"))
    assert ended == [True, False, True]


def test_one_that_is_found_dead_lets_the_others_end_soon(
    pool: Pool,
) -> None:
    (dead, connection), *others = [lend(pool) for _ in range(6)]
    connection.closed_for = "dead"
    dead.discard()

    latest = time.monotonic() + SPREAD_OVER
    for loan, connection in others:
        assert connection.expires <= latest
        loan.checkin()


def test_nothing_is_recycled_while_nothing_can_be_opened(
    pool: Pool, nodes: list[FakeServer]
) -> None:
    loans = [lend(pool)]
    for node in nodes:
        node.says("login", 3032, "The server is currently in offline mode")
    (_, connection) = loans[0]
    pool.timeout = 0.1
    with pytest.raises((PoolTimeout, ServerUnavailable)):
        pool.checkout()
    loans[0][0].checkin()
    connection.expires = 1.0

    loan, again = lend(pool)

    assert again is connection
    loan.checkin()
