"""Why a request cannot have its database, read from the error that it ended in."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import cast

import django.db
import MySQLdb
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.http.multipartparser import MultiPartParserError

from ..driver.errors import error_code, outage_in, pooled_alias
from ..exceptions import PoolTimeout, Reason, ServerUnavailable

#: What Django answers with a page of its own rather than with a 500.
ANSWERED_BY_DJANGO = (
    Http404,
    PermissionDenied,
    MultiPartParserError,
    BadRequest,
    SuspiciousOperation,
)

#: Numbers of errors that no server has sent: none at all, and those of the client.
#: https://dev.mysql.com/doc/mysql-errors/8.4/en/client-error-reference.html
NOT_FROM_SERVER = (range(1), range(2000, 3000))


def diagnose(error: BaseException) -> tuple[Reason, BaseException] | None:
    """Say why *error* means that a pooled database cannot be used now.

    Returns the reason and the link of the exception's chain that shows it, or
    ``None`` for every error that is not about having a connection of a pool, and for
    those that Django answers with another status than 500.
    """
    return None if isinstance(error, ANSWERED_BY_DJANGO) else _diagnose(error, set())


def _diagnose(
    error: BaseException, seen: set[int]
) -> tuple[Reason, BaseException] | None:
    for link in _chain(error, seen):
        reason = _reason(link)
        if reason is not None:
            return reason, link
        # Each by itself: two of a group can have come from the same error.
        diagnoses = [_diagnose(member, seen.copy()) for member in _members(link)]
        # Were only some of a group about a connection, the others would be hidden.
        if diagnoses and all(diagnoses):
            return diagnoses[0]
    return None


def without_frames(error: BaseException) -> BaseException:
    """Return a copy of *error* that keeps no frame's variables alive.

    *error* itself keeps its traceback, for whoever logs it.
    """
    return copy.copy(error)


def _reason(error: BaseException) -> Reason | None:
    if isinstance(error, PoolTimeout):
        return error.reason
    if isinstance(error, ServerUnavailable):
        return Reason.UNAVAILABLE
    if isinstance(error, MySQLdb.OperationalError) and pooled_alias(error) is not None:
        sign = outage_in(error)
        return None if sign is None else sign.reason
    return None


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """What an ExceptionGroup holds, which Python has from 3.11 on."""
    members = getattr(error, "exceptions", ())
    if isinstance(members, tuple) and all(
        isinstance(member, BaseException) for member in members
    ):
        return cast("tuple[BaseException, ...]", members)
    return ()


def _chain(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """Go through *error* and what it came from, but for what has been *seen*."""
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        if link.__cause__ is not None:
            link = link.__cause__
        elif not link.__suppress_context__ and _follows_from_context(link):
            link = link.__context__
        else:
            link = None


def _follows_from_context(error: BaseException) -> bool:
    """Whether *error* is another sign of what was being handled when it was raised.

    A handler's mistake is not, nor a server's answer to a further statement: there was
    a connection again. What Django or the driver objects to by itself is.
    """
    if not isinstance(error, (django.db.Error, MySQLdb.Error)):
        return False
    code = error_code(error) or 0
    return any(code in numbers for numbers in NOT_FROM_SERVER)
