"""Which errors mean that a request cannot have its database, and which do not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import django.db
import MySQLdb
import pytest
import sqlalchemy.exc
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db.transaction import TransactionManagementError
from django.http import Http404
from django.http.multipartparser import MultiPartParserError

from pooled_db import PoolTimeout
from pooled_db.driver.errors import mark_pooled, pooled_alias
from pooled_db.driver.use import given_back
from pooled_db.exceptions import Reason
from pooled_db.request.diagnosis import diagnose, without_frames
from tests.errors import timeout, unavailable

LOST = 2013
TLS_ERROR = 2026
ACCESS_DENIED = 1045
#: What the system says when the other end, or the way to it, is gone.
BROKEN_NETWORK = (
    *(errno.EPIPE, errno.EAGAIN, errno.ENOTCONN, errno.ETIMEDOUT),
    *(errno.ECONNRESET, errno.ECONNABORTED, errno.ENETRESET),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
)
DUPLICATE_ENTRY = 1062
DEADLOCK = 1213


def pooled(error: Exception) -> Exception:
    """*error* as it comes out of a pooled connection."""
    mark_pooled(error, "billing")
    return error


def lost(code: int = LOST) -> Exception:
    return pooled(MySQLdb.OperationalError(code, "lost"))


def caught(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - it is what the test looks at
        return error
    raise AssertionError("nothing was raised")


def with_exceptions(members: object) -> Exception:
    """Another library's error, whose attribute means something else."""
    error = ValueError(repr(members))
    vars(error)["exceptions"] = members
    return error


@pytest.mark.parametrize(
    "error",
    [
        *(timeout(reason) for reason in Reason),
        unavailable(),
        *(lost(code) for code in (1053, 1159, 1927, 2006, 2013, 2055, 4031)),
    ],
    ids=repr,
)
def test_what_is_about_having_a_connection_is_diagnosed(error: Exception) -> None:
    diagnosis = diagnose(error)

    assert diagnosis is not None
    assert diagnosis[1] is error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        *((timeout(reason), reason) for reason in Reason),
        (unavailable(), Reason.UNAVAILABLE),
        (lost(), Reason.CONNECTION_LOST),
    ],
)
def test_reasons_are_told_apart(error: Exception, reason: Reason) -> None:
    diagnosis = diagnose(error)

    assert diagnosis is not None
    assert diagnosis[0] is reason


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the view's own"),
        ValueError(LOST),
        MySQLdb.OperationalError(ACCESS_DENIED, "Access denied for user 'shop'"),
        pooled(MySQLdb.OperationalError(DEADLOCK, "Deadlock found")),
        pooled(MySQLdb.OperationalError(1153, "Got a packet bigger than")),
        pooled(MySQLdb.OperationalError(2020, "Got packet bigger than")),
        MySQLdb.OperationalError(),
        MySQLdb.OperationalError("no number"),
        MySQLdb.IntegrityError(DUPLICATE_ENTRY, "Duplicate entry"),
        pooled(MySQLdb.IntegrityError(LOST, "a number of another kind of error")),
        MySQLdb.ProgrammingError(1064, "You have an error in your SQL syntax"),
        MySQLdb.InterfaceError(0, ""),
        MySQLdb.OperationalError(LOST, "of a connection that is not pooled"),
        django.db.OperationalError(LOST, "raised by hand, and not by the driver"),
        sqlalchemy.exc.TimeoutError("of a pool that is not ours"),
        KeyboardInterrupt(),
        *(with_exceptions(members) for members in ("text", (lost(), "text"), 7)),
    ],
    ids=repr,
)
def test_what_is_not_about_having_a_connection_is_not_diagnosed(
    error: BaseException,
) -> None:
    assert diagnose(error) is None


@pytest.mark.parametrize(
    "text",
    [
        "TLS/SSL error: unexpected eof while reading",
        "TLS/SSL error: shutdown while in init",
        "TLS/SSL error: wrong version number",
        *(
            f"TLS/SSL error: {os.strerror(number)} ({number})"
            for number in BROKEN_NETWORK
        ),
        "SSL connection error: error:0A000126:SSL routines::unexpected eof",
    ],
)
def test_a_connection_that_breaks_is_lost_over_tls_too(text: str) -> None:
    diagnosis = diagnose(pooled(MySQLdb.OperationalError(TLS_ERROR, text)))

    assert diagnosis is not None
    assert diagnosis[0] is Reason.CONNECTION_LOST


@pytest.mark.parametrize(
    "text",
    [
        "TLS/SSL error: No such file or directory (2)",
        "TLS/SSL error: self-signed certificate in certificate chain",
        "TLS/SSL error: Validation of SSL server certificate failed",
        "TLS/SSL error: SSL is required, but the server does not support it",
        "TLS/SSL error: tlsv1 alert protocol version",
    ],
)
def test_tls_that_cannot_work_is_no_outage(text: str) -> None:
    assert diagnose(pooled(MySQLdb.OperationalError(TLS_ERROR, text))) is None


HAVING_A_CONNECTION = [timeout(), unavailable(), lost()]


def raised_while_handling(inner: Exception, outer: Exception) -> Exception:
    """*outer*, with what Python notes of it if it is raised in a handler of *inner*."""

    def handle() -> None:
        try:
            raise inner
        except type(inner):
            raise outer  # noqa: B904 - the point of the tests

    return caught(handle)


def raised_from(inner: Exception, outer: Exception) -> Exception:
    def handle() -> None:
        try:
            raise inner
        except type(inner) as error:
            raise outer from error

    return caught(handle)


@pytest.mark.parametrize("inner", HAVING_A_CONNECTION)
@pytest.mark.parametrize(
    "outer",
    [
        django.db.OperationalError(LOST, "as Django raises it"),
        django.db.InterfaceError(0, "connection already closed"),
        RuntimeError("a library's or the project's own"),
        LookupError("a template's"),
    ],
    ids=repr,
)
def test_what_is_raised_from_it_is_a_sign_of_it(
    outer: Exception, inner: Exception
) -> None:
    diagnosis = diagnose(raised_from(inner, outer))

    assert diagnosis is not None
    assert diagnosis[1] is inner


@pytest.mark.parametrize("inner", HAVING_A_CONNECTION)
@pytest.mark.parametrize(
    "outer",
    [
        MySQLdb.InterfaceError(0, "This connection has been given back to its pool."),
        MySQLdb.ProgrammingError(2014, "Commands out of sync"),
        MySQLdb.OperationalError(2000, "Unknown MySQL error"),
        django.db.InterfaceError(0, "connection already closed"),
        django.db.ProgrammingError("Cannot open a new connection in an atomic block."),
        TransactionManagementError("An error occurred in the current transaction."),
    ],
    ids=repr,
)
def test_what_needs_no_server_and_fails_while_it_is_handled_is_a_sign_of_it(
    outer: Exception, inner: Exception
) -> None:
    diagnosis = diagnose(raised_while_handling(inner, outer))

    assert diagnosis is not None
    assert diagnosis[1] is inner


@pytest.mark.parametrize("inner", HAVING_A_CONNECTION)
def test_no_server_has_said_that_a_connection_has_been_given_back(
    inner: Exception,
) -> None:
    assert diagnose(raised_while_handling(inner, given_back())) is not None


@pytest.mark.parametrize("inner", HAVING_A_CONNECTION)
def test_what_is_raised_from_nothing_is_a_sign_of_nothing(inner: Exception) -> None:
    outer = raised_while_handling(inner, django.db.InterfaceError(0, "closed"))
    outer.__suppress_context__ = True  # as `from None` does
    assert diagnose(outer) is None


@pytest.mark.parametrize("inner", HAVING_A_CONNECTION)
@pytest.mark.parametrize(
    "outer",
    [
        KeyError("a mistake"),
        ValueError("a mistake"),
        RuntimeError("a mistake"),
        ConnectionError("of the cache that is asked instead"),
        pooled(MySQLdb.IntegrityError(DUPLICATE_ENTRY, "Duplicate entry")),
        pooled(MySQLdb.OperationalError(DEADLOCK, "Deadlock found")),
        MySQLdb.ProgrammingError(1146, "Table 'shop.item' doesn't exist"),
        MySQLdb.NotSupportedError(3819, "Check constraint is violated"),
        MySQLdb.OperationalError(3000, "File is corrupted"),
    ],
    ids=repr,
)
def test_a_mistake_of_who_handles_it_stays_a_mistake(
    outer: Exception, inner: Exception
) -> None:
    assert diagnose(raised_while_handling(inner, outer)) is None


@pytest.mark.parametrize("inner", HAVING_A_CONNECTION)
@pytest.mark.parametrize("how", [raised_from, raised_while_handling])
@pytest.mark.parametrize(
    "outer",
    [
        Http404("no such page"),
        PermissionDenied("not for you"),
        BadRequest("what?"),
        MultiPartParserError("no boundary"),
        SuspiciousOperation("no"),
    ],
    ids=repr,
)
def test_what_django_answers_otherwise_than_with_a_500_is_left_to_it(
    outer: Exception,
    how: Callable[[Exception, Exception], Exception],
    inner: Exception,
) -> None:
    assert diagnose(how(inner, outer)) is None


def test_a_mistake_hides_what_it_came_from_also_if_it_is_wrapped() -> None:
    mistake = raised_while_handling(lost(), KeyError("a mistake"))

    assert diagnose(raised_from(mistake, RuntimeError("a library's"))) is None


def test_an_error_that_looks_empty_does_not_hide_its_cause() -> None:
    class Empty(Exception):
        def __len__(self) -> int:
            return 0

    outer = ValueError("outer")
    outer.__cause__ = Empty()
    outer.__cause__.__cause__ = timeout()

    assert diagnose(outer) is not None


def test_from_none_says_that_the_cause_does_not_matter() -> None:
    def handled() -> None:
        try:
            raise timeout()
        except PoolTimeout:
            raise LookupError("answered from the cache instead") from None

    assert diagnose(caught(handled)) is None


def test_an_explicit_cause_hides_what_was_being_handled() -> None:
    def handled() -> None:
        try:
            raise timeout()
        except PoolTimeout:
            raise LookupError("something else") from ValueError("the cause")

    assert diagnose(caught(handled)) is None


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_a_cycle_of_causes_ends(link: str) -> None:
    first, second = ValueError("first"), ValueError("second")
    setattr(first, link, second)
    setattr(second, link, first)

    assert diagnose(first) is None


def test_of_several_causes_the_outermost_counts() -> None:
    diagnosis = diagnose(raised_while_handling(lost(), timeout()))

    assert diagnosis is not None
    assert diagnosis[0] is Reason.TIMEOUT


class Group(Exception):
    """What Python's ExceptionGroup is from 3.11 on."""

    def __init__(self, *members: Exception) -> None:
        super().__init__("tasks failed")
        self.exceptions = members


def test_a_group_is_about_a_connection_if_all_in_it_are() -> None:
    first = lost()
    second = raised_from(timeout(), RuntimeError("a library's"))

    diagnosis = diagnose(Group(first, second))

    assert diagnosis is not None
    assert diagnosis[1] is first


def test_a_mistake_among_others_is_not_hidden_by_them() -> None:
    group = Group(timeout(), ValueError("a mistake"))

    assert diagnose(group) is None
    assert diagnose(Group(lost(), group)) is None
    assert diagnose(Group()) is None


def test_what_two_of_a_group_have_in_common_is_of_both() -> None:
    """As two tasks that have waited for a third one, which has failed."""
    shared = timeout()
    ours, theirs = (raised_from(shared, RuntimeError(who)) for who in ("our", "their"))

    for group in (Group(shared, shared), Group(ours, theirs)):
        diagnosis = diagnose(group)
        assert diagnosis is not None
        assert diagnosis[1] is shared


@pytest.mark.parametrize("others", [(), (timeout(),)])
def test_a_mistake_that_is_raised_from_its_group_stays_one(
    others: tuple[Exception, ...],
) -> None:
    member = ValueError("a mistake")

    assert diagnose(raised_from(Group(member, *others), member)) is None


@pytest.mark.parametrize("error", [timeout(), unavailable(), lost()], ids=repr)
def test_a_copy_without_frames_says_the_same_and_leaves_the_original_its_own(
    error: Exception,
) -> None:
    raised = raised_from(ValueError("inner"), error)
    frames = raised.__traceback__

    copied = without_frames(raised)

    assert (type(copied), copied.args) == (type(raised), raised.args)
    assert vars(copied) == vars(raised)
    assert (copied.__traceback__, copied.__cause__, copied.__context__) == (None,) * 3
    assert raised.__traceback__ is frames is not None


def test_an_error_tells_whose_pool_it_is_of() -> None:
    assert pooled_alias(lost()) == "billing"
    assert pooled_alias(MySQLdb.OperationalError(LOST, "lost")) is None
    assert pooled_alias(ValueError()) is None
