"""A pool whose server grants fewer connections than it may have."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import MySQLdb
import pytest

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.driver.connection import Connection
from pooled_db.exceptions import Reason
from pooled_db.pool import state_file
from pooled_db.pool.loan import Loan
from pooled_db.pool.numbers import LIMIT
from pooled_db.pool.pool import Pool
from pooled_db.pool.siblings import SiblingPools
from pooled_db.pool.store import NoIdleConnection
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.loans import lend

MakePool = Callable[..., Pool]
Grant = Callable[[int], None]
USER = "pooled_few"
#: Seconds within which the pool finds room that there is again, on a busy machine.
ROOM_IS_FOUND_WITHIN = 10.0
#: Documented: for so long a pool without a connection waits for room.
PATIENCE = 5.0


@pytest.fixture
def grant(server: Server) -> Iterator[Grant]:
    """Let the server grant the account so many connections."""
    with contextlib.closing(server.admin()) as admin:

        def run(sql: str) -> None:
            with admin.cursor() as cursor:
                cursor.execute(sql)

        account = f"'{USER}'@'%'"
        run(f"DROP USER IF EXISTS {account}")
        run(f"CREATE USER {account} IDENTIFIED BY '{server.password}'")
        run(f"GRANT ALL ON *.* TO {account}")
        yield lambda most: run(f"ALTER USER {account} WITH MAX_USER_CONNECTIONS {most}")
        run(f"DROP USER {account}")


@pytest.fixture
def few(make_pool: MakePool, server: Server, grant: Grant) -> Callable[..., Pool]:
    """Make a pool of ten, of which the server grants as many as it is told."""

    def make(granted: int, **options: object) -> Pool:
        grant(granted)
        return make_pool(lambda: few_connect(server), pool_size=10, **options)

    return make


def few_connect(server: Server) -> Connection:
    database = server.settings("pooled_bare")
    return Connection(
        host=database["HOST"],
        port=database["PORT"],
        user=USER,
        password=database["PASSWORD"],
        autocommit=True,
        **server.client_options,
    )


def use(pool: Pool) -> None:
    loan, connection = lend(pool)
    connection.query("SELECT SLEEP(0.01)")
    connection.store_result()
    loan.checkin()


both_orders = pytest.mark.parametrize("use_lifo", [False, True], ids=["fifo", "lifo"])


@both_orders
def test_an_idle_connection_is_taken_before_another_is_opened(
    few: Callable[..., Pool], grant: Grant, use_lifo: bool
) -> None:
    """Half of the slots are empty, and the server is full."""
    pool = few(10, use_lifo=use_lifo)
    loans = [pool.checkout() for _ in range(10)]
    for loan in loans[::2]:
        loan.discard()
    for loan in loans[1::2]:
        loan.checkin()
    grant(5)

    for _ in range(200):
        use(pool)

    assert (pool.stats().idle, pool.stats().opened) == (5, 10)


@both_orders
def test_an_idle_connection_is_taken_at_once_on_the_event_loop(
    few: Callable[..., Pool], use_lifo: bool
) -> None:
    pool = few(10, use_lifo=use_lifo)
    loans = [pool.checkout() for _ in range(2)]
    loans[0].discard()
    loans[1].checkin()
    first, second = pool.admit(Loan(pool)), pool.admit(Loan(pool))

    pool.take_idle(first)
    with pytest.raises(NoIdleConnection):
        pool.take_idle(second)

    assert first.is_out
    pool.take(second)
    assert second.is_out
    first.checkin()
    second.checkin()


@pytest.mark.parametrize("at_once", [6, 20])
@both_orders
def test_nobody_is_refused_by_a_pool_of_which_the_server_grants_half(
    few: Callable[..., Pool], at_once: int, use_lifo: bool
) -> None:
    pool = few(5, use_lifo=use_lifo)
    with ThreadPoolExecutor(at_once) as threads:
        for done in [threads.submit(use, pool) for _ in range(400)]:
            done.result()

    assert pool.stats().granted == 5
    assert pool.stats().idle == 5
    assert pool.stats().refused == 0


def test_room_that_there_is_again_is_found(
    few: Callable[..., Pool], grant: Grant
) -> None:
    pool = few(5)
    over = threading.Event()

    def use_until_over() -> None:
        while not over.is_set():
            use(pool)

    with ThreadPoolExecutor(20) as threads:
        users = [threads.submit(use_until_over) for _ in range(20)]
        try:
            assert poll(lambda: pool.stats().granted == 5)
            time.sleep(1)  # so that the pauses are as long as they get
            grant(10)
            found = poll(lambda: pool.stats().granted == 10, ROOM_IS_FOUND_WITHIN)
        finally:
            over.set()
        for user in users:
            user.result()

    assert found
    assert pool.gate.limit == 10
    assert pool.stats().refused == 0


@pytest.mark.parametrize("clients", [1, 6, 20])
def test_a_limit_that_was_taught_low_is_no_limit_once_there_is_room(
    few: Callable[..., Pool], grant: Grant, clients: int
) -> None:
    """However many ask then: as many connections as they need, within 2 s."""
    pool = few(2)
    with ThreadPoolExecutor(20) as threads:
        for done in [threads.submit(use, pool) for _ in range(60)]:
            done.result()
    assert pool.stats().granted == 2
    grant(20)
    needed = min(clients, pool.gate.capacity)
    together = threading.Barrier(needed)

    def use_together() -> bool:
        """Whether so many were lent at once, in the end."""
        until = time.monotonic() + ROOM_IS_FOUND_WITHIN
        while time.monotonic() < until:
            loan = pool.checkout()
            try:
                together.wait(0.1)
            except threading.BrokenBarrierError:
                with contextlib.suppress(threading.BrokenBarrierError):
                    together.reset()
            else:
                return True
            finally:
                loan.checkin()
        return False

    with ThreadPoolExecutor(clients) as threads:
        attempts = [threads.submit(use_together) for _ in range(clients)]
        assert any(attempt.result() for attempt in attempts)
    assert pool.stats().refused == 0


def test_a_limit_that_is_lowered_meanwhile_is_followed(
    few: Callable[..., Pool], grant: Grant
) -> None:
    """The server closes nothing, but opens no more before it has fewer."""
    pool = few(10)
    loans = [pool.checkout() for _ in range(10)]
    grant(4)
    for loan in loans[:8]:
        loan.discard()
    for loan in loans[8:]:
        loan.checkin()

    with ThreadPoolExecutor(20) as threads:
        for done in [threads.submit(use, pool) for _ in range(200)]:
            done.result()

    assert pool.stats().refused == 0
    assert pool.stats().granted == 4


def test_aliases_of_one_account_share_what_it_is_granted(
    make_pool: MakePool, server: Server, grant: Grant, tmp_path: Path
) -> None:
    """Three pools want ten each of nine; the first has all when the others come."""
    grant(9)

    def make(alias: str) -> Pool:
        numbers = state_file.create(tmp_path, 14, {"alias": alias, "place": "here"})
        assert numbers.file is not None
        numbers.words[LIMIT] = 10
        return make_pool(
            lambda: few_connect(server),
            pool_size=10,
            max_idle=60.0,
            numbers=numbers,
            siblings=SiblingPools(tmp_path, "here", numbers.file),
        )

    pools = [make(alias) for alias in ("first", "second", "third")]
    over = threading.Event()

    def use_until_over(pool: Pool) -> None:
        while not over.is_set():
            use(pool)

    def shares() -> list[int]:
        return [len(pool._store.open) for pool in pools]

    with ThreadPoolExecutor(36) as threads:
        try:
            users = [threads.submit(use_until_over, pools[0]) for _ in range(12)]
            assert poll(lambda: shares() == [9, 0, 0])
            users += [
                threads.submit(use_until_over, pool)
                for pool in pools[1:]
                for _ in range(12)
            ]
            shared = poll(lambda: min(shares()) >= 2 and max(shares()) <= 4)
        finally:
            over.set()
        for user in users:
            user.result()
    assert shared, shares()
    assert [pool.stats().refused for pool in pools] == [0, 0, 0]


def test_what_is_granted_is_logged_once(
    few: Callable[..., Pool], caplog: pytest.LogCaptureFixture
) -> None:
    pool = few(5)
    with caplog.at_level(logging.INFO, "pooled_db"), ThreadPoolExecutor(20) as threads:

        def used_by_many() -> bool:
            for done in [threads.submit(use, pool) for _ in range(200)]:
                done.result()
            # Nobody says so while another attempt is under way, but the next who fails.
            return bool(caplog.records)

        assert poll(used_by_many)
        used_by_many()

    (line,) = {record.getMessage().partition(".")[0] for record in caplog.records}
    assert line == (
        "Limit 5 of 10 granted for 'bare': the user has reached a limit of the account "
        "(error 1226)"
    )


def test_a_pool_with_nothing_at_all_waits_for_room(
    few: Callable[..., Pool], server: Server
) -> None:
    pool = few(1)
    taken = few_connect(server)
    with ThreadPoolExecutor(3) as threads:
        served = [threads.submit(use, pool) for _ in range(3)]
        assert poll(lambda: pool.gate.waiting == 3)
        assert pool.stats().granted == 0
        taken.close()
        for done in served:
            done.result()

    assert pool.stats().refused == 0
    assert pool.stats().granted == 1


def test_a_pool_with_nothing_at_all_says_so_when_the_time_is_up(
    few: Callable[..., Pool], server: Server
) -> None:
    pool = few(1, timeout=0.2)
    taken = few_connect(server)

    for _ in range(3):
        with pytest.raises(ServerUnavailable):
            pool.checkout()
    taken.close()

    assert poll(lambda: _is_served(pool), ROOM_IS_FOUND_WITHIN)
    assert pool.stats().refused_by["unavailable"] >= 3


def test_a_pool_with_nothing_for_long_says_so_at_once(
    few: Callable[..., Pool], server: Server
) -> None:
    pool = few(1, timeout=0.2)
    taken = few_connect(server)
    with pytest.raises(ServerUnavailable):
        pool.checkout()
    assert pool._connector.limit._without_since is not None
    pool._connector.limit._without_since -= PATIENCE
    with pytest.raises(ServerUnavailable):
        pool.checkout()
    with ThreadPoolExecutor(3) as threads:
        refused = [threads.submit(pool.checkout).exception() for _ in range(3)]
    taken.close()

    assert {type(error) for error in refused} == {ServerUnavailable}
    assert pool.gate.waiting == 0
    assert pool.gate.limit == pool.gate.capacity


def _is_served(pool: Pool) -> bool:
    with contextlib.suppress(ServerUnavailable):
        use(pool)
        return True
    return False


def test_who_waits_for_others_waits_no_longer_than_its_timeout(
    few: Callable[..., Pool],
) -> None:
    pool = few(1, timeout=1.0)
    loan = pool.checkout()
    with ThreadPoolExecutor(1) as threads:
        refused = threads.submit(pool.checkout).exception()
    loan.checkin()

    assert isinstance(refused, PoolTimeout)
    assert refused.reason is Reason.TIMEOUT
    assert 1.0 <= refused.waited < PATIENCE
    assert "(1 of 1 in use" in str(refused)


@pytest.mark.parametrize(
    ("answers", "error", "reason"),
    [(True, PoolTimeout, "timeout"), (False, ServerUnavailable, "unavailable")],
)
def test_who_has_no_time_left_is_told_what_has_taken_it(
    few: Callable[..., Pool], answers: bool, error: type[Exception], reason: str
) -> None:
    """Waiting for others if there is no room; connecting if the server is silent."""
    pool = few(1)
    begun = time.monotonic()
    loan, late = pool.checkout(), pool.admit(Loan(pool))
    if not answers:
        pool.connect = does_not_answer
    late.deadline = late.arrived

    with pytest.raises(error) as refused:
        pool.take(late)

    if isinstance(refused.value, PoolTimeout):
        assert refused.value.waited <= time.monotonic() - begun
    late.checkin()
    loan.checkin()
    assert pool.stats().refused_by[reason] == 1


def does_not_answer() -> Connection:
    raise MySQLdb.OperationalError(2003, "Can't connect to server")


def test_a_request_that_ends_while_it_waits_for_others_loses_nothing(
    few: Callable[..., Pool],
) -> None:
    pool = few(1)
    loan = pool.checkout()
    ending = pool.admit(Loan(pool))
    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(pool.take, ending)
        assert poll(lambda: pool.gate.waiting == 1)
        ending.checkin()
        taken.result(timeout=60)
    assert (ending.connection, pool.gate.waiting) == (None, 0)
    loan.checkin()


def test_connections_that_are_closed_are_replaced_in_a_full_server(
    few: Callable[..., Pool],
) -> None:
    pool = few(2)
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(use, pool) for _ in range(20)]:
            done.result()
    assert pool.stats().granted == 2
    for _ in range(10):
        pool.checkout().discard()
        use(pool)

    assert pool.stats().refused == 0


def test_who_waits_in_vain_for_another_has_not_waited_for_less_than_no_time(
    few: Callable[..., Pool],
) -> None:
    """The request has waited elsewhere, and was let in at once."""
    pool = few(1, timeout=3.0)
    first, second = pool.checkout(), pool.admit(Loan(pool), age=2.0)

    with pytest.raises(PoolTimeout) as refusal:
        pool.take(second)

    assert refusal.value.waited >= 0.0
    second.checkin()
    first.checkin()
