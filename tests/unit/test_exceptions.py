"""What errors say, and what is read from them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import django.db
import MySQLdb
import pytest
import sqlalchemy.exc

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.driver.errors import (
    AUTHENTICATION_ERROR,
    CANNOT_CONNECT,
    CONNECTION_LOST,
    broke_within_handshake,
    error_code,
)
from pooled_db.exceptions import Reason
from pooled_db.request.diagnosis import diagnose

LOST = 2013
TLS_ERROR = 2026
ACCESS_DENIED = 1045
DUPLICATE_ENTRY = 1062
DEADLOCK = 1213


def timeout(reason: Reason = Reason.TIMEOUT) -> PoolTimeout:
    return PoolTimeout("billing", reason, 5.004, 9, 10, 31)


def unavailable() -> ServerUnavailable:
    error = ServerUnavailable(2003, "Can't connect to server on 'db.internal' (115)")
    error.alias = "billing"
    return error


def caught(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - it is what the test looks at
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "kind",
    [
        sqlalchemy.exc.TimeoutError,
        sqlalchemy.exc.SQLAlchemyError,
        django.db.OperationalError,
        django.db.DatabaseError,
    ],
)
def test_a_handler_of_either_library_catches_a_pool_timeout(
    kind: type[Exception],
) -> None:
    with pytest.raises(kind):
        raise timeout()


def test_a_handler_of_the_driver_catches_an_unavailable_server() -> None:
    with pytest.raises(MySQLdb.OperationalError):
        raise unavailable()


@pytest.mark.parametrize(
    ("reason", "beginning"),
    [
        (Reason.TIMEOUT, "No connection to 'billing' became free within 5.00 s"),
        (Reason.QUEUE_FULL, "The queue for a connection to 'billing' is full"),
        (
            Reason.OVERLOADED,
            "'billing' is overloaded: given up after 5.00 s in the queue",
        ),
    ],
)
def test_a_pool_timeout_is_a_diagnosis(reason: Reason, beginning: str) -> None:
    assert str(timeout(reason)) == (
        f"{beginning} (9 of 10 in use, 31 waiting). Look for slow queries and for slow "
        "calls made while a connection is held (pooled_db.release()) before you raise "
        "pool_size."
    )


def test_a_pool_timeout_keeps_its_numbers() -> None:
    error = timeout()

    numbers = (error.waited, error.in_use, error.limit, error.waiting)
    assert (error.alias, error.reason) == ("billing", Reason.TIMEOUT)
    assert numbers == (5.004, 9, 10, 31)


duplicates = pytest.mark.parametrize(
    "duplicate",
    [
        *(
            pytest.param(
                lambda error, protocol=protocol: pickle.loads(
                    pickle.dumps(error, protocol)
                ),
                id=f"pickle {protocol}",
            )
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
        copy.copy,
        copy.deepcopy,
    ],
)


@duplicates
@pytest.mark.parametrize(
    "reason", [Reason.TIMEOUT, Reason.QUEUE_FULL, Reason.OVERLOADED]
)
def test_a_pool_timeout_survives_pickling_and_copying(
    duplicate: Callable[[Exception], Exception], reason: Reason
) -> None:
    error = timeout(reason)

    again = duplicate(error)

    assert type(again) is PoolTimeout
    assert vars(again) == vars(error)
    assert again.args == error.args
    assert again.reason is reason
    assert str(again) == str(error)


@duplicates
def test_an_unavailable_server_survives_pickling_and_copying(
    duplicate: Callable[[Exception], Exception],
) -> None:
    again = duplicate(unavailable())

    assert type(again) is ServerUnavailable
    assert again.alias == "billing"
    assert again.args == unavailable().args


def test_a_reason_prints_as_its_value() -> None:
    assert f"{Reason.QUEUE_FULL} {Reason.QUEUE_FULL!s}" == "queue_full queue_full"


@pytest.mark.parametrize(
    "error",
    [
        *(timeout(reason) for reason in Reason),
        unavailable(),
        *(MySQLdb.OperationalError(code, "gone") for code in CONNECTION_LOST),
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
        (MySQLdb.OperationalError(LOST, "lost"), Reason.CONNECTION_LOST),
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
        MySQLdb.OperationalError(DEADLOCK, "Deadlock found"),
        MySQLdb.OperationalError(),
        MySQLdb.OperationalError("no number"),
        MySQLdb.IntegrityError(DUPLICATE_ENTRY, "Duplicate entry"),
        MySQLdb.IntegrityError(LOST, "a number of another kind of error"),
        MySQLdb.ProgrammingError(1064, "You have an error in your SQL syntax"),
        MySQLdb.InterfaceError(0, ""),
        django.db.OperationalError(LOST, "raised by hand, and not by the driver"),
        KeyboardInterrupt(),
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
        "TLS/SSL error: Connection reset by peer (104)",
        "TLS/SSL error: Connection timed out (110)",
        "SSL connection error: error:0A000126:SSL routines::unexpected eof",
    ],
)
def test_a_connection_that_breaks_is_lost_over_tls_too(text: str) -> None:
    diagnosis = diagnose(MySQLdb.OperationalError(TLS_ERROR, text))

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
    assert diagnose(MySQLdb.OperationalError(TLS_ERROR, text)) is None


NOT_TRUSTED = "TLS/SSL error: self-signed certificate in certificate chain"


@pytest.mark.parametrize(
    "options", [{}, {"ssl_mode": "REQUIRED"}, {"ssl": None}, {"ssl": {"cipher": "a"}}]
)
def test_a_certificate_that_nobody_verifies_is_not_why_a_handshake_broke(
    options: dict[str, Any],
) -> None:
    error = MySQLdb.OperationalError(TLS_ERROR, NOT_TRUSTED)

    assert broke_within_handshake(error, options)


@pytest.mark.parametrize(
    "options",
    [
        {"ssl_mode": "VERIFY_CA"},
        {"ssl_mode": "VERIFY_IDENTITY"},
        {"ssl": {"ca": "/etc/ca.pem"}},
        {"ssl": {"capath": "/etc/ca"}},
        {"read_default_file": "/etc/my.cnf"},
        {"read_default_group": "client"},
    ],
)
def test_a_certificate_that_is_to_be_verified_is_why(options: dict[str, Any]) -> None:
    error = MySQLdb.OperationalError(TLS_ERROR, NOT_TRUSTED)

    assert not broke_within_handshake(error, options)


@pytest.mark.parametrize(
    "error",
    [
        MySQLdb.OperationalError(TLS_ERROR, "TLS/SSL error: No such file (2)"),
        MySQLdb.OperationalError(ACCESS_DENIED, NOT_TRUSTED),
        ValueError(TLS_ERROR, NOT_TRUSTED),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_no_other_error_is_taken_for_a_broken_handshake(error: BaseException) -> None:
    assert not broke_within_handshake(error, {})


@pytest.mark.parametrize("code", [1040, 1053, 1130])
def test_what_the_server_says_in_place_of_a_tls_handshake_is_read(code: int) -> None:
    error = MySQLdb.OperationalError(
        2002,
        "Received error packet before completion of TLS handshake. The authenticity "
        f"of the following error cannot be verified: {code} - Host 'a' said: 7 - 8",
    )

    assert error_code(error) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Couldn't read RSA public key from server", LOST),
        ("RSA Encryption not supported", AUTHENTICATION_ERROR),
    ],
)
def test_a_line_that_breaks_before_the_key_has_come_is_lost(
    text: str, code: int
) -> None:
    error = MySQLdb.OperationalError(AUTHENTICATION_ERROR, text)

    assert error_code(error) == code


def explicit(inner: Exception) -> None:
    try:
        raise inner
    except type(inner) as error:
        raise django.db.OperationalError(*error.args) from error


def implicit(inner: Exception) -> None:
    try:
        raise inner
    except type(inner):
        raise KeyError("while handling it")  # noqa: B904 - the point of the test


def both_ways(inner: Exception) -> None:
    try:
        implicit(inner)
    except KeyError as error:
        raise RuntimeError("a library's own") from error


@pytest.mark.parametrize("wrap", [explicit, implicit, both_ways])
@pytest.mark.parametrize(
    "inner", [timeout(), unavailable(), MySQLdb.OperationalError(LOST, "lost")]
)
def test_the_cause_is_found_behind_other_errors(
    wrap: Callable[[Exception], None], inner: Exception
) -> None:
    diagnosis = diagnose(caught(lambda: wrap(inner)))

    assert diagnosis is not None
    assert diagnosis[1] is inner


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
    def timeout_while_reconnecting() -> None:
        try:
            raise MySQLdb.OperationalError(LOST, "lost")
        except MySQLdb.OperationalError:
            raise timeout()  # noqa: B904 - the point of the test

    diagnosis = diagnose(caught(timeout_while_reconnecting))

    assert diagnosis is not None
    assert diagnosis[0] is Reason.TIMEOUT


def test_every_error_that_passes_is_explained_without_naming_anybody() -> None:
    for explanation in (*CANNOT_CONNECT.values(), *CONNECTION_LOST.values()):
        assert explanation.islower()
        assert "'" not in explanation
