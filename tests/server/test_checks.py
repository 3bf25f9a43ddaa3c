"""Checks that ask the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.checks import Error, Warning, run_checks
from django.db import connections

from pooled_db.backends.mysql import validation
from pooled_db.workers import Workers
from tests.checking import (
    AddDatabase,
    ids,
    messages,
)
from tests.harness.processes import free_port
from tests.harness.server import Server


@pytest.mark.usefixtures("may_connect")
def test_a_database_that_is_right_hears_nothing() -> None:
    assert run_checks(databases=["default", "other"]) == []


# E005: the server.


def test_an_unreachable_server_is_an_error_with_what_to_do(
    add_database: AddDatabase, may_connect: None
) -> None:
    add_database("gone", HOST="127.0.0.1", PORT=free_port(), PASSWORD="hunter2")

    (message,) = messages(databases=["gone"])

    assert isinstance(message, Error)
    assert message.id == "pooled_db.E005"
    assert re.fullmatch(
        r"The database 'gone' cannot be used: Can't connect to .+ \(error 200[23]\)\.",
        message.msg,
    )
    assert message.hint == (
        "Start the server, or correct HOST, PORT, USER, PASSWORD and NAME in "
        'DATABASES["gone"].'
    )
    assert "hunter2" not in str(message)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"PASSWORD": "hunter2"}, r"Access denied for user .+ \(error 1045\)\."),
        ({"NAME": "nowhere"}, r"Unknown database 'nowhere' \(error 1049\)\."),
    ],
)
@pytest.mark.parametrize("pool", [True, False])
def test_what_the_server_objects_to_is_an_error_in_its_words(
    add_database: AddDatabase,
    may_connect: None,
    wrong: dict[str, Any],
    said: str,
    pool: bool,
) -> None:
    # What a pool does not bear is nothing to a database without one.
    age = 0 if pool else 60
    add_database("refused", OPTIONS={"pool": pool}, CONN_MAX_AGE=age, **wrong)

    (message,) = messages(databases=["refused"])

    assert message.id == "pooled_db.E005"
    assert re.fullmatch(f"The database 'refused' cannot be used: {said}", message.msg)


def test_a_server_that_is_too_old_for_django_is_an_error_in_djangos_words(
    add_database: AddDatabase, may_connect: None
) -> None:
    add_database("old")
    features: Any = connections["old"].features
    features.minimum_database_version = (99, 9)

    (message,) = messages(databases=["old"])

    assert message.id == "pooled_db.E005"
    assert re.fullmatch(
        r"The database 'old' cannot be used: \w+ 99\.9 or later is required "
        r"\(found [\d.]+\)\.",
        message.msg,
    )


@pytest.mark.usefixtures("may_connect")
def test_a_server_that_is_back_is_checked_again(
    add_database: AddDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_database("gone", PORT=free_port())
    assert ids(databases=["gone"]) == ["pooled_db.E005"]

    monkeypatch.setitem(
        connections.settings["gone"], "PORT", connections.settings["default"]["PORT"]
    )

    assert ids(databases=["gone"]) == []


@pytest.mark.usefixtures("may_connect")
def test_only_the_databases_that_are_named_are_asked(
    add_database: AddDatabase, attempts: list[str]
) -> None:
    add_database("gone")
    add_database("unnamed")

    messages(databases=["gone"])

    assert set(attempts) == {"gone"}


# W003: the pool and the server.


@pytest.mark.parametrize("pool_size", [10, 100_000])
def test_an_alias_without_a_pool_has_none_to_fit_into_the_server(
    add_database: AddDatabase, may_connect: None, settings: Any, pool_size: int
) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {"pool_size": pool_size}
    add_database("plain", CONN_MAX_AGE=60, OPTIONS={"pool": False})

    assert messages(databases=["plain"]) == []


@pytest.mark.parametrize(
    ("processes", "together"), [(None, ""), (1, ""), (2, "2"), (8, "8")]
)
@pytest.mark.parametrize(
    ("spare", "expected"), [(1, []), (0, ["W003"]), (-1, ["W003"])]
)
def test_a_pool_must_fit_into_the_server_as_often_as_there_are_processes(
    add_database: AddDatabase,
    may_connect: None,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    processes: int | None,
    together: str,
    spare: int,
    expected: list[str],
) -> None:
    connection = server.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_connections")
        (most,) = cursor.fetchone()
    connection.close()
    monkeypatch.setattr(validation, "configured_workers", lambda: Workers(processes))
    # The least that all processes cannot have at once, and then one more or less.
    limit = -(-most // (processes or 1)) - spare
    add_database("wide", OPTIONS={"pool": {"pool_size": limit - 3, "max_overflow": 3}})

    told = messages(databases=["wide"])

    assert [message.id for message in told] == [f"pooled_db.{id}" for id in expected]
    each = (
        f"in each of {together} processes, {limit * int(together)} together"
        if together
        else "in each process"
    )
    for message in told:
        assert message == Warning(
            f"The pool of 'wide' may open {limit} connections {each}, and the server "
            f"allows {most} in all.",
            hint=(
                "Lower pool_size and max_overflow: their sum, times the number of "
                "processes, must stay below the server's max_connections."
            ),
            id="pooled_db.W003",
        )
