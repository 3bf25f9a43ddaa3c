"""What PyMySQL's connection says of further results, as mysqlclient's would."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

connections: Any = pytest.importorskip("pymysql.connections")


def result(**of: bool) -> Any:
    return SimpleNamespace(**{"unbuffered_active": False, "has_next": False, **of})


@pytest.mark.parametrize(
    ("last", "says", "asks"),
    [
        (None, -1, 0),
        (result(), -1, 0),
        (result(has_next=True), 0, 1),
        # Its rows are to be read first.
        (result(unbuffered_active=True, has_next=True), 0, 0),
    ],
)
def test_there_is_more_until_the_last_result_has_been_read(
    monkeypatch: pytest.MonkeyPatch, last: Any, says: int, asks: int
) -> None:
    from pooled_db.driver.pymysql import Connection

    asked: list[object] = []
    monkeypatch.setattr(
        connections.Connection,
        "next_result",
        lambda self, unbuffered: asked.append(unbuffered),
    )
    connection: Any = Connection.__new__(Connection)
    connection._result = last
    assert connection.next_result() == says
    assert len(asked) == asks
