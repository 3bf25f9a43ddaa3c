"""The QueuePool that keeps a pool's connections."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as NoSlot
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from ..driver.connection import Connection
from . import idle


class NoIdleConnection(Exception):
    """The server would have to be asked, and the caller must not wait for that."""


class Parked(NoSlot):
    """There is an idle connection out of the queue: none has to be opened."""


class Vacant(NoSlot):
    """No connection is idle, and it is not known yet for what loan to open one."""


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
        kind = QueuePool if max_overflow else idle.QueuePool
        self._make: Callable[[], QueuePool] = lambda: kind(
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
        # Those of idle connections that may not be needed, the last used at the end.
        self._parked: list[PoolProxiedConnection] = []
        self.queue: QueuePool = self._new()

    def open_another(self, queue: QueuePool) -> PoolProxiedConnection:
        """Take a connection, though *queue* had none, nor room for another.

        Whoever has a permit finds a slot: where it is just being moved by another
        thread, at the next look.
        """
        for _ in range(MOST_LOOKS):
            moved = self._unpark() or self._put_back_an_empty_slot()
            with contextlib.suppress(NoSlot):
                return queue.connect()
            if not moved:
                time.sleep(0)  # another thread is just moving it
        raise NoSlot("no slot is left, though there is a permit")

    def _put_back_an_empty_slot(self) -> bool:
        try:
            slot = self._empty.pop()
        except IndexError:
            return False
        self.part_with(slot.invalidate)
        return True

    def take_parked(self, queue: QueuePool) -> PoolProxiedConnection | None:
        """Take an idle connection that has been parked, if there is one."""
        while self._unpark():
            with contextlib.suppress(NoSlot):
                return queue.connect()
        return None

    def raise_if_parked(self) -> None:
        """Raise Parked if there is no need to open another connection."""
        if self._parked:
            raise Parked

    def _unpark(self) -> bool:
        try:
            slot = self._parked.pop()
        except IndexError:
            return False
        self.part_with(slot.close)
        return True

    # Idle connections that nobody has needed for long, for one thread.

    def park_idle(self) -> None:
        """Take what is idle out of the queue: who needs one, gets it back from here.

        The thread that calls it opens no connection.
        """
        queue = self.queue
        for _ in range(queue.checkedin()):
            try:
                slot = queue.connect()
            except NoSlot:
                return
            self._parked.append(slot)
            if queue is not self.queue:
                # Another has taken its place meanwhile, and may have seen it or not.
                with contextlib.suppress(ValueError):
                    self._parked.remove(slot)
                if slot.is_valid:
                    slot.invalidate()
                return

    def close_parked(self, since: float, least: int) -> None:
        """Close what is parked and was used before *since*, but keep *least* open."""
        for slot in list(self._parked):
            if len(self.open) <= least:
                return
            if _last_used(slot) <= since:
                try:
                    self._parked.remove(slot)
                except ValueError:
                    continue  # it has just been needed
                connection: Connection = slot.dbapi_connection  # type: ignore[assignment]
                connection.closed_for = "idle"
                self.discard(slot, self.queue)

    def close_some_parked(self, most: int) -> int:
        """Close up to *most* parked connections; return how many it were."""
        for closed in range(most):
            try:
                slot = self._parked.pop(0)
            except IndexError:
                return closed
            connection: Connection = slot.dbapi_connection  # type: ignore[assignment]
            connection.closed_for = "shared"
            self.discard(slot, self.queue)
        return most

    def parked_since(self) -> float | None:
        """Since when the longest parked connection has not been used."""
        return min(map(_last_used, list(self._parked)), default=None)

    def dispose(self) -> None:
        """Close what is idle now, and what is out on its return."""
        # QueuePool.dispose() forgets the connections that are out, and its counters
        # are wrong from then on: another takes its place.
        self._replace(self.queue)

    def discard(self, slot: PoolProxiedConnection, queue: QueuePool | None) -> None:
        """Close the connection of *slot*, which is out of *queue*."""

        def close() -> None:
            if slot in self._empty:
                return  # an interrupt came after that
            entry = self.open.get(slot.dbapi_connection)  # type: ignore[call-overload]
            if entry is None or queue is not self.queue:
                slot.invalidate()
                return
            entry.invalidate()
            self._empty.append(slot)

        self.part_with(close)

    def checkedout(self) -> int:
        """How many slots are out with somebody who has, or is to get, a connection."""
        return self.queue.checkedout() - len(self._empty) - len(self._parked)

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
        """Go on with another queue, after an interrupt in this thread."""
        self._replace(interrupted)
        # What the interrupt has cut off is in no queue, and nobody would ever have it.
        here = threading.get_ident()
        for connection, entry in self.open.copy().items():
            opens = connection.fresh and connection.opened_by != here
            if entry.in_use or opens:
                continue
            # Another thread may be just taking it. That has it in use before it looks
            # whether it is clean, so one of the two sees the other.
            connection.is_clean = False
            if not entry.in_use:
                connection.closed_for = connection.closed_for or "doubtful"
                connection.close()
                self._forget(connection, entry)

    def _replace(self, queue: QueuePool) -> None:
        if self.queue is queue:
            anew = self._new()
            none_parked: list[PoolProxiedConnection] = []
            none_empty: list[PoolProxiedConnection] = []
            # In one step, without a call: what the upkeep parks meanwhile is of the one
            # queue or of the other, and is counted with it.
            parked = self._parked
            self.queue, self._parked, self._empty = anew, none_parked, none_empty
            event.listen(queue, "checkin", _close_at_return)
            for slot in parked:
                slot.invalidate()
        queue.dispose()

    def _new(self) -> QueuePool:
        queue = self._make()
        event.listen(queue, "connect", self._note)
        event.listen(queue, "close", self._forget)
        return queue

    def _note(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        connection.opened_by = threading.get_ident()
        self.open[connection] = entry
        self._opened(connection)

    def _forget(self, connection: Any, entry: object) -> None:
        if self.open.pop(connection, None) is not None:
            self._closed(connection)


def _last_used(slot: PoolProxiedConnection) -> float:
    # It may just have been needed: then it is nobody's to close.
    rested: float = getattr(slot.dbapi_connection, "rested", float("inf"))
    return rested


def _close_at_return(connection: object, entry: ConnectionPoolEntry) -> None:
    if connection is not None:
        entry.invalidate()
