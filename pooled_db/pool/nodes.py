"""Which of several nodes a connection leads to, and whether it may be used."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable

import MySQLdb

from ..driver.addresses import addresses
from ..driver.connection import Connection
from ..driver.errors import UnfitNode, is_about_a_node

#: How often another connection is opened because the last led to an unfit node: behind
#: a proxy the next may lead to another.
MOST_TRIES = 3
#: For how many seconds a node that did not pass is held off, without being checked.
HELD_OFF = 2.0
#: The least and most after which that is so no more, as a share.
JITTER = (0.75, 1.25)

#: What tells nodes apart that have one address, a proxy's. All may ask for it.
WHO = "SELECT @@hostname, @@port, @@server_id"


class _TryAnother(Exception):
    """The connection led to a node that cannot serve."""

    def __init__(self, error: MySQLdb.OperationalError) -> None:
        super().__init__(error)
        self.error = error


class Nodes:
    """Lets nobody use a node that does not pass *check*, a statement.

    A node is known by what the server says of itself, since a proxy's address says
    nothing. One that did not pass is held off for a while: what leads there is closed
    without another check, and connections that are open already end at their next
    checkout.
    """

    def __init__(
        self, check: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._clock = clock
        self._held_off: dict[object, float] = {}

    def open_fit(self, connect: Callable[[], Connection]) -> Connection:
        """Return what *connect* opens, at a node that passes.

        Raises the driver's error, or UnfitNode, after some tries.
        """
        for _ in range(MOST_TRIES - 1):
            with contextlib.suppress(_TryAnother):
                return self._open(connect)
        try:
            return self._open(connect)
        except _TryAnother as last:
            raise last.error from None

    def _open(self, connect: Callable[[], Connection]) -> Connection:
        connection: Connection | None = None
        try:
            connection = connect()
            if self._check is not None:
                self._examine(connection, self._check)
        except BaseException as error:
            if connection is not None:
                connection.close()
                if connection.address is not None:
                    addresses.failed(connection.address)
            if isinstance(error, MySQLdb.OperationalError) and is_about_a_node(error):
                raise _TryAnother(error) from error
            raise
        return connection

    def leave(self, node: object, connections: Iterable[Connection]) -> None:
        """Let those of *connections* that lead to *node* end at their next checkout."""
        if node is not None:
            for connection in connections:
                if connection.node == node:
                    connection.expires = 0.0

    def _examine(self, connection: Connection, check: str) -> None:
        try:
            node = connection.node = _ask(connection, WHO)
            if self._held_off.get(node, 0.0) > self._clock():
                raise UnfitNode(0, "held off")
            answer = _ask(connection, check)
            connection.is_dirty = False
        except MySQLdb.Error as error:
            if isinstance(error, UnfitNode):
                raise
            self._hold_off(connection.node)
            raise UnfitNode(*error.args) from error
        if answer is not None and not _is_true(answer[0]):
            self._hold_off(node)
            raise UnfitNode(0, f"check_on_connect returned {answer[0]!r}")

    def _hold_off(self, node: object) -> None:
        if node is not None:
            self._held_off[node] = self._clock() + HELD_OFF * random.uniform(*JITTER)


def _ask(connection: Connection, statement: str) -> tuple[object, ...] | None:
    """Return the first row, or ``None`` if there are no rows to be had."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        if cursor.description is None:
            return None
        row: tuple[object, ...] = cursor.fetchone() or (None,)
    return row


def _is_true(value: object) -> bool:
    """Whether *value* means yes, as servers write it in variables and status."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return value.strip().upper() not in ("", "0", "OFF", "NO", "FALSE")
    return bool(value)
