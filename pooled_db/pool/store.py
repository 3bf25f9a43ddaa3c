"""The QueuePool that keeps a pool's connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from ..driver.connection import Connection


class Store:
    """Keeps what *connect* opens in a QueuePool, which never waits."""

    def __init__(
        self,
        connect: Callable[[], Connection],
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
        #: The connections that are open. QueuePool counts a slot whose connection was
        #: closed as one that is idle.
        self.open: set[Any] = set()
        self.queue: QueuePool = self._new()

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
            self.queue = self._new()
        interrupted.dispose()

    def _new(self) -> QueuePool:
        queue = self._make()
        event.listen(queue, "close", self._forget)
        return queue

    def _forget(self, connection: Any, record: object) -> None:
        self.open.discard(connection)
