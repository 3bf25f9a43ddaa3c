"""Where a QueuePool without overflow keeps what is idle, beside SQLAlchemy's own."""

from __future__ import annotations

import logging
import threading
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy.exc import TimeoutError as NoSlot
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.queue import Empty

from pooled_db.pool import idle
from pooled_db.pool.store import Store


def pool(of: type[QueuePool], size: int = 3, **options: Any) -> QueuePool:
    return of(
        Mock, pool_size=size, max_overflow=0, timeout=0, reset_on_return=None, **options
    )


@pytest.mark.parametrize("use_lifo", [False, True])
@pytest.mark.parametrize("is_recreated", [False, True])
def test_connections_come_in_the_order_of_sqlalchemys_queue(
    use_lifo: bool, is_recreated: bool
) -> None:
    orders = []
    for of in (QueuePool, idle.QueuePool):
        queue = pool(of, use_lifo=use_lifo)
        if is_recreated:
            queue = queue.recreate()
        taken = [queue.connect() for _ in range(3)]
        opened = [one.dbapi_connection for one in taken]
        for one in (taken[1], taken[2], taken[0]):
            one.close()
        again = [queue.connect() for _ in range(3)]
        orders.append([opened.index(one.dbapi_connection) for one in again])
    assert orders[0] == orders[1] == ([0, 2, 1] if use_lifo else [1, 2, 0])


def test_it_counts_as_sqlalchemys_queue_does() -> None:
    for of in (QueuePool, idle.QueuePool):
        queue = pool(of)
        taken = [queue.connect() for _ in range(3)]
        with pytest.raises(NoSlot):
            queue.connect()
        taken[0].close()
        counted = (queue.size(), queue.checkedin(), queue.checkedout())
        assert counted == (3, 1, 2), of
        connection: Any = taken[0].dbapi_connection
        queue.dispose()
        assert (queue.checkedin(), connection) == (0, None), of


def test_nobody_waits_even_if_told_to() -> None:
    with pytest.raises(Empty):
        idle.Idle(1, False).get(True, 3600.0)


def test_threads_lose_and_share_nothing() -> None:
    queue = pool(idle.QueuePool)
    held: set[Any] = set()
    shared: list[Any] = []
    begin = threading.Barrier(3)

    def take_and_put() -> None:
        begin.wait()
        for _ in range(2000):
            proxy = queue.connect()
            connection = proxy.dbapi_connection
            if connection in held:
                shared.append(connection)
            held.add(connection)
            held.discard(connection)
            proxy.close()

    threads = [threading.Thread(target=take_and_put) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (shared, queue.checkedout(), queue.checkedin() <= 3) == ([], 0, True)


def queue_of(
    pool_size: int,
    max_overflow: int,
    use_lifo: bool = False,
    echo: bool | str = False,
) -> QueuePool:
    """The queue of a store that was asked for so."""
    return Store(
        Mock,
        Mock(),
        Mock(),
        pool_size=pool_size,
        max_overflow=max_overflow,
        use_lifo=use_lifo,
        echo=echo,
    ).queue


@pytest.mark.parametrize(
    ("max_overflow", "kind"), [(0, idle.QueuePool), (2, QueuePool)]
)
def test_with_overflow_sqlalchemys_queue_says_what_is_too_many(
    max_overflow: int, kind: type[QueuePool]
) -> None:
    queue = queue_of(1, max_overflow)
    taken = [queue.connect() for _ in range(1 + max_overflow)]
    for one in taken:
        one.close()
    assert (type(queue), queue.checkedin()) == (kind, 1)


@pytest.mark.parametrize("max_overflow", [0, 2])
@pytest.mark.parametrize("use_lifo", [False, True])
@pytest.mark.parametrize("echo", [False, "debug"])
def test_a_queue_is_as_it_was_asked_for_and_nobody_waits_for_it(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    max_overflow: int,
    use_lifo: bool,
    echo: bool | str,
) -> None:
    # Else SQLAlchemy gives it a handler that prints.
    logger = logging.getLogger("sqlalchemy.pool.impl.QueuePool")
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])
    queue = queue_of(2, max_overflow, use_lifo, echo)
    first, last = queue.connect(), queue.connect()
    expected = (last if use_lifo else first).dbapi_connection
    first.close()
    last.close()
    taken = [queue.connect() for _ in range(2 + max_overflow)]
    assert taken[0].dbapi_connection is expected
    assert bool(caplog.records) is bool(echo)
    assert queue.timeout() == 0
    with pytest.raises(NoSlot):
        queue.connect()


def test_it_logs_by_the_name_of_sqlalchemys_pool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logged = []
    for of in (QueuePool, idle.QueuePool):
        caplog.clear()
        with caplog.at_level("DEBUG", "sqlalchemy.pool"):
            pool(of).connect().close()
        logged.append({record.name for record in caplog.records})
    assert logged == [{"sqlalchemy.pool.impl.QueuePool"}] * 2
