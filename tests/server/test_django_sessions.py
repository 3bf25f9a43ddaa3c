"""A session that is cleaned is as Django's settings want it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from pooled_db import pools
from pooled_db.backends.mysql.base import DatabaseWrapper
from tests.database_server import SERVER

ISOLATION = "@@tx_isolation" if SERVER.is_mariadb else "@@transaction_isolation"


@pytest.fixture
def wrapper(transactional_db: None) -> Iterator[DatabaseWrapper]:
    settings = {
        **connection.settings_dict,
        "OPTIONS": {
            **connection.settings_dict["OPTIONS"],
            "pool": {"pool_size": 1},
            "isolation_level": "repeatable read",
            "init_command": "SET SESSION wait_timeout = 1234",
            "sql_mode": "TRADITIONAL",
            "charset": "utf8mb4",
            "collation": "utf8mb4_unicode_ci",
        },
    }
    wrapper = DatabaseWrapper(settings, alias="sessions")
    yield wrapper
    wrapper.close()
    pools.dispose("sessions")


QUESTION = (
    f"SELECT CONNECTION_ID(), {ISOLATION}, @@wait_timeout, @@sql_mode, "
    "@@collation_connection, @@character_set_client, @@autocommit"
)


def test_a_cleaned_session_is_as_django_wants_it(wrapper: DatabaseWrapper) -> None:
    def question() -> Any:
        with wrapper.cursor() as cursor:
            cursor.execute(QUESTION)
            return cursor.fetchone()

    before = question()
    with wrapper.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        cursor.execute("SET wait_timeout = 9, sql_mode = ''")
        cursor.execute("SET NAMES latin1")
    wrapper.close()

    assert question() == before


def connection_id(wrapper: DatabaseWrapper) -> object:
    with wrapper.cursor() as cursor:
        cursor.execute("SET @a = 1")
        cursor.execute("SELECT CONNECTION_ID()")
        return cursor.fetchone()[0]


def test_a_connection_of_an_old_password_is_not_logged_in_again(
    wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = connection_id(wrapper)
    wrapper.close()
    assert connection_id(wrapper) == used
    with monkeypatch.context() as patch:
        patch.setitem(wrapper.settings_dict, "PASSWORD", "rotated")
        wrapper.close()

    assert connection_id(wrapper) != used


def test_nor_is_one_of_a_token_that_the_backend_has_replaced(
    wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = DatabaseWrapper.get_connection_params
    token: dict[str, str] = {}
    monkeypatch.setattr(
        DatabaseWrapper, "get_connection_params", lambda self: parameters(self) | token
    )
    used = connection_id(wrapper)
    wrapper.close()
    assert connection_id(wrapper) == used
    token["password"] = "another"
    wrapper.close()
    token.clear()

    assert connection_id(wrapper) != used
