"""The QueuePool that keeps a pool's connections."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as NoSlot
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from ..driver.connection import Connection

#: How often a slot is looked for that another thread is just moving.
MOST_LOOKS = 100_000


class Store:
    """Keeps what *connect* opens in a QueuePool, which never waits.

    *opened* is called in the same thread when one is open, and counted; *closed* with
    each that is closed.

    A QueuePool lends its slots in turn, those of closed connections too. Here whoever
    asks gets an idle connection if there is one, and has another opened if there is
    none: the slots of closed connections stay out of the queue until they are needed.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
        *,
        pool_size: int,
        max_overflow: int,
        use_lifo: bool,
        echo: bool | str,
    ) -> None:
        self._make: Callable[[], QueuePool] = lambda: QueuePool(
            cast("Any", connect),
            pool_size=pool_size,
            max_overflow=max_overflow,
            use_lifo=use_lifo,
            echo=cast("Any", echo),
            timeout=0,
            reset_on_return=None,
        )
        self._opened = opened
        self._closed = closed
        #: The connections that are open, and where QueuePool keeps them. It counts a
        #: slot whose connection was closed as one that is idle.
        self.open: dict[Connection, ConnectionPoolEntry] = {}
        # Slots whose connections are closed, kept out of the queue.
        self._empty: list[PoolProxiedConnection] = []
        self.queue: QueuePool = self._new()

    def open_another(self, queue: QueuePool) -> PoolProxiedConnection:
        """Take a connection, though *queue* had none, nor room for another.

        Whoever has a permit finds a slot: where it is just being moved by another
        thread, at the next look.
        """
        for _ in range(MOST_LOOKS):
            self._put_back_an_empty_slot()
            with contextlib.suppress(NoSlot):
                return queue.connect()
        raise NoSlot("no slot is left, though there is a permit")

    def _put_back_an_empty_slot(self) -> None:
        try:
            slot = self._empty.pop()
        except IndexError:
            time.sleep(0)  # another thread is just moving it
        else:
            self.part_with(slot.invalidate)

    def discard(self, slot: PoolProxiedConnection, queue: QueuePool | None) -> None:
        """Close the connection of *slot*, which is out of *queue*."""

        def close() -> None:
            entry = self.open.get(slot.dbapi_connection)  # type: ignore[call-overload]
            if entry is None or queue is not self.queue:
                slot.invalidate()
                return
            entry.invalidate()
            self._empty.append(slot)

        self.part_with(close)

    def checkedout(self) -> int:
        """How many slots are out that have a connection, or are to get one."""
        return self.queue.checkedout() - len(self._empty)

    def part_with(self, return_it: Callable[[], None]) -> None:
        """Call *return_it*, which gives a connection back to the queue.

        If that is interrupted, the queue may miscount: another takes its place, and
        what is out of it is to be closed on its return.
        """
        queue = self.queue
        try:
            return_it()
        except BaseException:
            self.renew(queue)
            raise

    def renew(self, interrupted: QueuePool) -> None:
        """Go on with another queue."""
        if self.queue is interrupted:
            self._empty = []
            self.queue = self._new()
        interrupted.dispose()

    def _new(self) -> QueuePool:
        queue = self._make()
        event.listen(queue, "connect", self._note)
        event.listen(queue, "close", self._forget)
        return queue

    def _note(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        self.open[connection] = entry
        self._opened(connection)

    def _forget(self, connection: Any, entry: object) -> None:
        if self.open.pop(connection, None) is not None:
            self._closed(connection)
