"""One connection from checkout to checkin."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

from .origin import describe

if TYPE_CHECKING:
    from ..driver.connection import Connection
    from .origin import Origin
    from .permit import Permit
    from .pool import Pool

logger: logging.Logger = logging.getLogger("pooled_db")


class Lease:
    """The loan of a connection; it goes back exactly once."""

    __slots__ = ("__weakref__", "_permit", "connection", "origin", "pool")

    def __init__(self, pool: Pool, permit: Permit, connection: Connection) -> None:
        self.pool: Pool = pool
        self.connection: Connection = connection
        #: Where it was taken, if that was not at the start of a request.
        self.origin: Origin | None = None
        self._permit = permit

    def __repr__(self) -> str:
        state = "out" if self.is_out else "given back"
        return f"<Lease of {self.pool.alias!r}: {state}>"

    def __del__(self) -> None:
        if self._permit in self.pool.out and not sys.is_finalizing():
            logger.warning(
                "A connection to %r was never given back; it is closed now. It was "
                "taken %s. Call connection.close() where such work ends.",
                self.pool.alias,
                describe(self.origin),
            )
            self.discard()

    @property
    def is_out(self) -> bool:
        return self._permit in self.pool.out

    def needs_cleaning(self) -> bool:
        """Whether giving it back takes a round trip to the server."""
        connection = self.connection
        return connection.in_query or self.pool.needs_cleaning(connection)

    def checkin(self) -> None:
        """Give the connection back: clean, or closed if that is in doubt.

        If another thread is still inside a statement, the connection is closed, and
        its permit given back, when that thread comes out.
        """
        if self._permit in self.pool.out and self.connection.revoke(self._close):
            self._give_back(may_keep=True)

    def discard(self) -> None:
        """Close the connection instead of giving it back for others to use."""
        if self.is_out and self.connection.revoke(self._close):
            self._close()

    def _close(self) -> None:
        self._give_back(may_keep=False)

    def _give_back(self, *, may_keep: bool) -> None:
        # Of several threads one gets it: dict.pop is atomic.
        fairy = self.pool.out.pop(self._permit, None)
        if fairy is None:
            return
        self.pool.alone.discard(self._permit)
        keep = False
        try:
            keep = may_keep and self.pool.clean(self.connection)
        finally:
            try:
                if keep:
                    if self.pool.ping_after is not None:
                        self.connection.idle_since = time.monotonic()
                    fairy.close()
                else:
                    fairy.invalidate()
            finally:
                self.pool.give_back(self._permit)
