"""How a statement that is too large is told from a connection that is lost."""

from __future__ import annotations

from typing import Any

import MySQLdb
import pytest

from pooled_db.driver import packets
from pooled_db.driver.packets import name_too_large
from tests.harness.fake_server import FakeServer


@pytest.mark.parametrize(
    ("size", "limit", "code"),
    [
        (2**20, 2**20, 1153),
        (2**20, 2**20 + 1, 2013),
        (2**20 - 1, 1024, 2013),
        (2**24, None, 2013),
    ],
)
def test_a_statement_that_was_too_large_is_named(
    monkeypatch: pytest.MonkeyPatch, size: int, limit: int | None, code: int
) -> None:
    monkeypatch.setattr(packets, "_limit", lambda options: limit)
    error: Any = MySQLdb.OperationalError(
        2013, "Lost connection to server during query"
    )
    name_too_large(error, size, {})
    assert error.args[0] == code
    assert ("max_allowed_packet" in error.args[1]) is (code == 1153)


@pytest.mark.parametrize("code", [1064, 1040])
def test_a_large_statement_that_lost_no_connection_is_not_called_too_large(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(packets, "_limit", pytest.fail)
    error: Any = MySQLdb.OperationalError(code, "whatever it says")
    name_too_large(error, 2**24, {})
    assert error.args == (code, "whatever it says")


def test_where_the_server_cannot_be_asked_no_limit_is_told() -> None:
    with FakeServer() as server:
        address = {"host": server.host, "port": server.port, "user": "any"}
        server.answers("SELECT @@max_allowed_packet", [["1048576"]])
        assert packets._limit(address) == 1_048_576
        server.says("greeting", 1040, "Too many connections")
        assert packets._limit(address) is None
