"""A wrapper without a pool is as Django's own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import ProgrammingError, connection
from django.db.backends.mysql import base as mysql

import pooled_db
from pooled_db import pools
from pooled_db.backends.mysql.base import DatabaseWrapper
from tests.database_server import SERVER
from tests.harness.server import Server

pytestmark = pytest.mark.usefixtures("may_connect")

ISOLATION = "@@tx_isolation" if SERVER.is_mariadb else "@@transaction_isolation"


def settings_without_pool(server: Server) -> dict[str, Any]:
    options = {**server.client_options, "pool": False}
    return {**connection.settings_dict, "OPTIONS": options}


def test_without_pool_it_is_djangos_backend(server: Server) -> None:
    plain = DatabaseWrapper(settings_without_pool(server), "plain")
    with plain.cursor() as cursor:
        cursor.execute(f"SELECT {ISOLATION}, @@session.sql_auto_is_null")
        assert cursor.fetchone() == ("READ-COMMITTED", 0)
    raw = plain.connection
    plain.close()
    assert not raw.open
    assert plain.pool is None
    assert "plain" not in pooled_db.stats()


def test_without_pool_a_session_that_was_not_set_up_is_left_as_django_leaves_it(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    def fail(self: mysql.DatabaseWrapper) -> None:
        raise ProgrammingError("no")

    monkeypatch.setattr(mysql.DatabaseWrapper, "init_connection_state", fail)
    options = server.client_options
    left = []
    for wrapper in (
        mysql.DatabaseWrapper({**connection.settings_dict, "OPTIONS": {**options}}),
        DatabaseWrapper(settings_without_pool(server), "plain"),
    ):
        with pytest.raises(ProgrammingError):
            wrapper.ensure_connection()
        left.append(wrapper.connection is not None)
        wrapper.close()
    assert left == [True, True]


def test_creating_and_dropping_databases_is_not_pooled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "for_wrapper", pytest.fail)
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1")


def test_without_pool_it_connects_whatever_a_block_has_left_as_django_does(
    server: Server,
) -> None:
    options = server.client_options
    for wrapper in (
        mysql.DatabaseWrapper({**connection.settings_dict, "OPTIONS": {**options}}),
        DatabaseWrapper(settings_without_pool(server), "plain"),
    ):
        wrapper.in_atomic_block = wrapper.closed_in_transaction = True
        wrapper.connect()
        assert wrapper.connection is not None
        assert not wrapper.in_atomic_block
        wrapper.close()
