"""What the options of a pool make of the connections that it lends."""

from __future__ import annotations

import time

import pytest

from pooled_db.pool.pool import Pool
from pooled_db.pool.share import Sibling
from tests.harness.fake_server import FakeServer
from tests.loans import connector, lend


@pytest.mark.parametrize(("use_lifo", "is_lent"), [(False, 0), (True, 1)])
def test_what_came_back_last_is_lent_last_unless_use_lifo_lends_it_first(
    server: FakeServer, use_lifo: bool, is_lent: int
) -> None:
    pool = Pool("fake", connector(server), pool_size=2, use_lifo=use_lifo)
    opened = [lend(pool) for _ in range(2)]
    for loan, _ in opened:
        loan.checkin()
    loan, connection = lend(pool)
    assert connection is opened[is_lent][1]
    loan.checkin()
    pool.dispose()


@pytest.mark.parametrize(
    ("echo", "gives_up", "checks_out"),
    [(False, False, False), (True, True, False), ("debug", True, True)],
)
def test_echo_logs_what_queuepool_gives_up_and_with_debug_each_checkout(
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    echo: bool | str,
    gives_up: bool,
    checks_out: bool,
) -> None:
    monkeypatch.setattr("sqlalchemy.log._add_default_handler", lambda logger: None)
    pool = Pool("fake", connector(server), pool_size=1, echo=echo)
    lend(pool)[0].discard()
    pool.dispose()
    assert ("Invalidate connection" in caplog.text) == gives_up
    assert ("checked out from pool" in caplog.text) == checks_out
    assert {one.name.startswith("sqlalchemy.pool") for one in caplog.records} <= {True}


@pytest.mark.parametrize(
    ("siblings", "shared"), [([], 0), ([Sibling(count=0, limit=1, is_hungry=True)], 1)]
)
def test_room_is_left_to_a_pool_that_is_seen_to_have_none(
    server: FakeServer, siblings: list[Sibling], shared: int
) -> None:
    pool = Pool("fake", connector(server), max_idle=60.0, siblings=lambda: siblings)
    for loan in [pool.checkout(), pool.checkout()]:
        loan.checkin()
    pool.look_after(time.monotonic())
    stats = pool.stats()
    assert (stats.closed["shared"], stats.idle) == (shared, 2 - shared)
    pool.dispose()
