"""What makes a connection fit for its next user."""

from __future__ import annotations

import threading

import MySQLdb

from ..driver.connection import Connection
from ..driver.use import OwnUse
from .numbers import Numbers


class Cleaning:
    """Makes sessions as *reset* wants them, in the mode *autocommit*.

    ``"dirty"`` makes a session new if a statement may have changed it, ``"always"`` in
    any case, and ``"rollback"`` only ends what transaction may be open.
    """

    def __init__(self, reset: str, autocommit: bool, numbers: Numbers) -> None:
        self.reset = reset
        self.autocommit = autocommit
        self._numbers = numbers
        # Whether a session that nothing has changed may be lent on as it is.
        self._spares_unchanged = autocommit and reset != "always"

    def cleans(self, connection: Connection) -> bool:
        """Make *connection* fit for its next user; ``False`` if that cannot be done."""
        if connection.is_doubtful:
            return False
        if connection.is_clean or (self._spares_unchanged and connection.is_at_rest):
            connection.is_clean = True
            return True
        if not connection.is_drained():
            return False
        if self.needs_io(connection):
            use, connection.loan = connection.loan, OwnUse(threading.get_ident())
            try:
                if not self._clean(connection):
                    return False
            except MySQLdb.Error:
                return False
            finally:
                connection.loan = use
        connection.is_clean = True
        return True

    def needs_io(self, connection: Connection) -> bool:
        """Whether that takes a round trip."""
        if connection.is_clean:
            return False
        if connection.is_dirty or not self._spares_unchanged:
            return True
        try:
            return not connection.get_autocommit()
        except MySQLdb.Error:
            return True  # another thread has it just now

    def _clean(self, connection: Connection) -> bool:
        if self.reset == "always" or (self.reset == "dirty" and connection.is_dirty):
            if not connection.reset_session(self.autocommit):
                return False
            self._numbers.was_reset()
            return True
        connection.rollback()
        connection.autocommit(self.autocommit)
        connection.is_dirty = False
        return True
