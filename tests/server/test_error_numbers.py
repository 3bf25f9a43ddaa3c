"""What each documented error number of the server does, one by one.

The numbers are those of docs/reference/errors.md, written down once more: a list of the
library's would agree with itself. A server says any number that SIGNAL names; for those
of the client library, 2000 to 2999, the driver says it here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest
from django.db import IntegrityError, connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from pooled_db import pools
from pooled_db.driver import DriverConnection
from tests.site.views import ask

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("like_a_server"),
]

UNAVAILABLE = [1040, 1053, 1129, 1135, 1159, 1203, 1226, 1836, 3032, 3168]
UNAVAILABLE += [2002, 2003, 2005, 2006, 2013, 2027, 5014]
LOST = [1053, 1159, 1927, 2006, 2013, 2027, 2055, 4031, 5014]
#: What a proxy passes on of its own connect as the answer to a statement, and what a
#: server says that cannot serve for now.
UNAVAILABLE_IN_STATEMENT = [
    1040,
    1129,
    1135,
    1203,
    1290,
    1836,
    2002,
    2003,
    2005,
    3032,
    3168,
]
#: The number is certain by its text only.
TEXTS = {1290: "running with the --read-only option"}
#: A statement that was killed or timed out; a transaction that may not write; a
#: packet that was too large; an answer that was not read; no storage engine any more.
RETIRING = [1317, 1969, 3024, 1792, 1153, 2020, 2014, 1031]
#: A lock waited for in vain, a deadlock, a duplicate, a missing table, and what
#: an application says itself.
HARMLESS = [1205, 1213, 1062, 1146, 1644]
#: Not about having a connection: a wrong password, a missing database, a host that is
#: not let in, a plugin that is missing.
LASTING = [1044, 1045, 1049, 1130, 2059]
#: More than a pool has connections.
LATER = 12


def signal(code: int) -> None:
    text = TEXTS.get(code, "so be it")
    ask(f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = '{text}'")


@pytest.fixture(autouse=True)
def _driver_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    query = DriverConnection.query

    def fail(self: DriverConnection, statement: Any) -> Any:
        said = re.search(r"MYSQL_ERRNO = (2\d\d\d),", str(statement))
        if said is not None:
            raise MySQLdb.OperationalError(int(said[1]), "so be it")
        return query(self, statement)

    monkeypatch.setattr(DriverConnection, "query", fail)


def meets(request: HttpRequest, code: int) -> HttpResponse:
    signal(code)
    return HttpResponse("unreachable")


def passes_on(request: HttpRequest, code: int) -> HttpResponse:
    number = ask("SELECT CONNECTION_ID()")
    try:
        signal(code)
    except Exception:  # noqa: BLE001 (whatever Django makes of it)
        return HttpResponse(str(number))
    return HttpResponse("unreachable")


def number(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(ask("SELECT CONNECTION_ID()")))


urlpatterns = [
    path("meets/<int:code>", meets),
    path("passes-on/<int:code>", passes_on),
    path("number", number),
]


@pytest.fixture
def client() -> Iterator[Client]:
    connections.close_all()
    yield Client(raise_request_exception=False, headers={"accept": "application/json"})
    connections.close_all()


@pytest.mark.parametrize("code", LOST)
def test_a_connection_that_is_lost_is_a_503(client: Client, code: int) -> None:
    response = client.get(f"/meets/{code}")
    assert response.status_code == 503
    assert json.loads(response.content)["reason"] == "connection_lost"


@pytest.mark.parametrize("code", UNAVAILABLE_IN_STATEMENT)
def test_a_statement_that_finds_no_server_is_a_503(client: Client, code: int) -> None:
    response = client.get(f"/meets/{code}")
    assert response.status_code == 503
    assert json.loads(response.content)["reason"] == "unavailable"


@pytest.mark.parametrize("code", [*RETIRING, *HARMLESS, *LASTING, 1047, 1180, 1226])
def test_every_other_error_of_a_statement_is_a_500(client: Client, code: int) -> None:
    assert client.get(f"/meets/{code}").status_code == 500


def numbers_later(client: Client) -> set[str]:
    return {client.get("/number").content.decode() for _ in range(LATER)}


@pytest.mark.parametrize("code", [*LOST, *RETIRING, *UNAVAILABLE_IN_STATEMENT])
def test_a_connection_is_not_lent_again_after(client: Client, code: int) -> None:
    used = client.get(f"/passes-on/{code}").content.decode()
    assert used.isdigit()
    assert used not in numbers_later(client)


@pytest.mark.parametrize("code", HARMLESS)
def test_a_connection_is_lent_again_after(client: Client, code: int) -> None:
    used = client.get(f"/passes-on/{code}").content.decode()
    assert used in numbers_later(client)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def with_code(code: int) -> None:
        def fail() -> Any:
            raise MySQLdb.OperationalError(code, "so be it")

        pools.dispose("default")
        monkeypatch.setattr(pools.for_alias("default"), "connect", fail)

    return with_code


@pytest.mark.parametrize("code", UNAVAILABLE)
def test_a_server_that_cannot_be_reached_is_a_503(
    client: Client, refuse: Callable[[int], None], code: int
) -> None:
    refuse(code)
    response = client.get("/number")
    assert response.status_code == 503
    assert json.loads(response.content)["reason"] == "unavailable"


@pytest.mark.parametrize("code", [*LASTING, 1927, 2055, 4031, 2026])
def test_what_no_waiting_cures_is_a_500(
    client: Client, refuse: Callable[[int], None], code: int
) -> None:
    refuse(code)
    assert client.get("/number").status_code == 500


@pytest.mark.parametrize("character_set", ["latin1", "cp1250", "gbk"])
def test_an_error_whose_text_the_driver_cannot_decode_crashes_nobody(
    character_set: str,
) -> None:
    """mysqlclient leaves a hole where the text should be."""
    ask("CREATE TEMPORARY TABLE named (a VARCHAR(9) UNIQUE) CHARSET utf8mb4")
    connections["default"].connection.set_character_set(character_set)
    ask("INSERT INTO named VALUES (%s)", "é")
    with pytest.raises(IntegrityError) as raised:
        ask("INSERT INTO named VALUES (%s)", "é")

    number, text = raised.value.args
    assert number == 1062
    assert "not in UTF-8" in text
