"""Why a request cannot have its database, read from the error that it ended in."""

from __future__ import annotations

from collections.abc import Iterator

import MySQLdb

from ..driver.errors import CONNECTION_LOST, error_code
from ..exceptions import PoolTimeout, Reason, ServerUnavailable


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go through what *error* came from, and what a group of errors holds."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        hides_context = link.__cause__ is not None or link.__suppress_context__
        links.append(link.__cause__ if hides_context else link.__context__)
        members = getattr(link, "exceptions", ())  # ExceptionGroup, from Python 3.11
        if isinstance(members, tuple):
            links.extend(m for m in members if isinstance(m, BaseException))


def diagnose(error: BaseException) -> tuple[Reason, BaseException] | None:
    """Say why *error* means that the database cannot be used now.

    Returns the reason and the link of the exception's chain that shows it, or
    ``None`` for every error that is not about having a connection.
    """
    for link in _chain(error):
        if isinstance(link, PoolTimeout):
            return link.reason, link
        if isinstance(link, ServerUnavailable):
            return Reason.UNAVAILABLE, link
        if (
            isinstance(link, MySQLdb.OperationalError)
            and error_code(link) in CONNECTION_LOST
        ):
            return Reason.CONNECTION_LOST, link
    return None
