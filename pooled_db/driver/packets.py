"""Whether a connection was lost because its statement was too large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import MySQLdb

from . import DriverConnection
from .errors import PACKET_TOO_LARGE, outage_in

#: The smallest ``max_allowed_packet`` that any server has had by default, in bytes. A
#: loss of anything shorter asks nobody: during an outage that would take a while.
SMALLEST_LIMIT = 1024 * 1024
#: How long the server may take to be reached, and to answer, in seconds.
PATIENCE = 2


def name_too_large(error: MySQLdb.Error, size: int, options: Mapping[str, Any]) -> None:
    """Let *error* say so if the server has refused a statement of *size* bytes.

    A server that is sent more than ``max_allowed_packet`` says error 1153 and closes
    the connection. The client is still writing then, and mostly sees no more than a
    connection that is gone, as after a crash. The server tells which it was on another
    connection with *options*.
    """
    if size < SMALLEST_LIMIT:
        return
    sign = outage_in(error)
    if sign is None or not sign.lost:
        return
    limit = _limit(options)
    if limit is not None and size >= limit:
        text = (
            "Got a packet bigger than 'max_allowed_packet' bytes: the statement has "
            f"{size}, and the server takes less than {limit}"
        )
        error.args = PACKET_TOO_LARGE[0], text


def _limit(options: Mapping[str, Any]) -> int | None:
    patience = {"connect_timeout": PATIENCE, "read_timeout": PATIENCE}
    try:
        connection = DriverConnection(**{**options, **patience})
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@max_allowed_packet")
                (limit,) = cursor.fetchone()
        finally:
            connection.close()
    except MySQLdb.Error:
        return None
    return int(limit)
