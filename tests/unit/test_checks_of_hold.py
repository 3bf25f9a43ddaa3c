"""Checks: what does not go together with holding by transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.db.backends.signals import connection_created

from tests.checking import AddDatabase, changes, messages


def of_hold() -> list[CheckMessage]:
    return [one for one in messages() if one.id in ("pooled_db.W007", "pooled_db.I003")]


@pytest.fixture
def receiver() -> Iterator[None]:
    def receive(**kwargs: Any) -> None: ...

    connection_created.connect(receive, weak=False, dispatch_uid="of this test")
    yield
    connection_created.disconnect(dispatch_uid="of this test")


@pytest.mark.usefixtures("receiver")
@pytest.mark.parametrize(
    ("pool", "found"),
    [
        ({"hold": "request", "reset": "rollback"}, []),
        ({"hold": "transaction"}, ["pooled_db.I003"]),
        (
            {"hold": "transaction", "reset": "rollback"},
            ["pooled_db.W007", "pooled_db.I003"],
        ),
    ],
)
def test_what_is_kept_on_purpose_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, pool: dict[str, str], found: list[str]
) -> None:
    changes(monkeypatch, OPTIONS={"pool": pool})
    assert [one.id for one in of_hold()] == found


def test_holding_by_transaction_alone_is_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes(monkeypatch, OPTIONS={"pool": {"hold": "transaction"}})
    assert of_hold() == []


@pytest.mark.parametrize("first", [{"hold": "request"}, {"hold": "always"}])
def test_each_database_is_judged_by_itself(
    monkeypatch: pytest.MonkeyPatch, add_database: AddDatabase, first: dict[str, str]
) -> None:
    changes(monkeypatch, OPTIONS={"pool": first})
    pool = {"hold": "transaction", "reset": "rollback"}
    add_database("reports", OPTIONS={"pool": pool})

    (message,) = of_hold()

    assert "'reports'" in message.msg
