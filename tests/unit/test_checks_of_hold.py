"""Checks: what does not go together with holding by transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import CheckMessage, Info, Warning
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


LEFT_BEHIND = Warning(
    'The pool of \'default\' has "hold": "transaction" and "reset": '
    '"rollback": what a request sets in its session would stay with a connection that '
    "others use in between.",
    hint='Leave out "reset", or set "hold" to "request".',
    id="pooled_db.W007",
)
RECEIVERS = Info(
    "There are receivers of connection_created. One that sets something in the session "
    "of 'default' makes its request hold the connection to the end, as with "
    '"hold": "request".',
    hint='Write such statements into OPTIONS["init_command"].',
    id="pooled_db.I003",
)


@pytest.mark.usefixtures("receiver")
@pytest.mark.parametrize(
    ("pool", "found"),
    [
        ({"hold": "request", "reset": "rollback"}, []),
        ({"hold": "transaction"}, [RECEIVERS]),
        ({"hold": "transaction", "reset": "rollback"}, [LEFT_BEHIND, RECEIVERS]),
    ],
)
def test_what_is_kept_on_purpose_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, pool: dict[str, str], found: list[CheckMessage]
) -> None:
    changes(monkeypatch, OPTIONS={"pool": pool})
    assert of_hold() == found


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
