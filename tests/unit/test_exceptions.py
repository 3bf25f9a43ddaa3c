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
    SIGNS,
    broke_within_handshake,
    error_code,
    is_about_a_node,
    why_not_connected,
)
from pooled_db.exceptions import Holder, Reason
from tests.errors import timeout, unavailable

LOST = 2013
TLS_ERROR = 2026
ACCESS_DENIED = 1045


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


def test_a_pool_timeout_names_who_holds_connections_already() -> None:
    holders = (
        Holder("GET /a (view)", 2.5, None, None),
        Holder("task", 9.0, 1.25, None),
    )
    error = PoolTimeout("default", Reason.STALLED, 1.0, 2, 2, 0, holders[:1], holders)
    assert str(error) == (
        "All connections to 'default' are held by threads that wait for another one, "
        "so that none would ever come back (2 of 2 in use, 0 waiting). Whoever asked "
        "holds 1 of them already: GET /a (view) for 2.5 s, at work. Held for longest: "
        "GET /a (view) for 2.5 s, at work; task for 9.0 s, at rest for 1.2 s. Do not "
        "ask for a second connection inside an atomic block, or raise pool_size."
    )
    assert error.args == ("default", Reason.STALLED, 1.0, 2, 2, 0, error.own, holders)


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
    ("code", "text", "is_of_one"),
    [
        (1047, "WSREP has not yet prepared node for application use", True),
        (1053, "Server shutdown in progress", True),
        (1290, "The server is running with the --read-only option", True),
        (1836, "Running in read-only mode", True),
        (3032, "The server is currently in offline mode", True),
        (3168, "Server isn't available", True),
        # As of all nodes, or of the account.
        (1040, "Too many connections", False),
        (1045, "Access denied for user", False),
        (1290, "The server is running with the --skip-grant-tables option", False),
    ],
)
def test_what_one_node_says_of_itself_is_told_from_what_another_would_say(
    code: int, text: str, is_of_one: bool
) -> None:
    assert is_about_a_node(MySQLdb.OperationalError(code, text)) is is_of_one


@pytest.mark.parametrize("limit", ["max_user_connections", "max_connections_per_hour"])
def test_no_limit_of_an_account_lets_another_connection_in(limit: str) -> None:
    text = f"User 'shop' has exceeded the '{limit}' resource (current value: 5)"
    error = MySQLdb.OperationalError(1226, text)
    assert why_not_connected(error) == "the user has reached a limit of the account"


class Unreadable:
    """A text of which mysqlclient has decoded nothing: to touch it is a crash."""

    def __repr__(self) -> str:
        return "<NULL>"

    def __str__(self) -> str:
        raise AssertionError("this is a crash")


def test_a_text_that_the_driver_cannot_read_is_replaced() -> None:
    error: Any = MySQLdb.IntegrityError(1062, Unreadable())
    assert error_code(error) == 1062
    assert error.args == (1062, "The driver cannot read the text: it is not in UTF-8")


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


@pytest.mark.parametrize(
    "text",
    [
        "Duplicate entry 'before completion of TLS handshake: 1040 - ' for key 'a'",
        "Duplicate entry 'unexpected eof' for key 'a'",
        "Couldn't read RSA public key from server",  # as a procedure can say
    ],
)
def test_what_the_text_of_another_error_says_changes_no_number(text: str) -> None:
    assert error_code(MySQLdb.OperationalError(1062, text)) == 1062


def test_every_error_that_passes_is_explained_without_naming_anybody() -> None:
    for explanation in {
        words
        for sign in SIGNS
        for words in (sign.connecting, sign.in_statement)
        if words is not None
    }:
        assert explanation.islower()
        assert "'" not in explanation
