"""Django signals of the pools. A receiver that raises harms nothing: it is logged.

All have *alias*. They are sent in the thread that has to do with it, which may be that
of an event loop: receivers must not wait, nor use the database.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from django.dispatch import Signal

__all__ = ["connection_closed", "connection_opened", "request_refused"]

logger: logging.Logger = logging.getLogger("pooled_db")

#: A connection was opened: *connection_id*, the server's number for it.
connection_opened: Final = Signal()
#: A connection was closed: *connection_id*, and *reason*, as `PoolStats.closed` has it.
connection_closed: Final = Signal()
#: A request is answered with a 503: *reason*, *method*, *path* and *error*.
request_refused: Final = Signal()


def send(signal: Signal, **arguments: Any) -> None:
    """Send *signal*, whatever its receivers do."""
    if not signal.receivers:
        return
    try:
        signal.send_robust(sender=None, **arguments)
    except Exception:  # an asynchronous receiver, on the event loop itself
        logger.exception("A receiver of a signal has failed.")
