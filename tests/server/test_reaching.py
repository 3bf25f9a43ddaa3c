"""A derived backend that opens connections by a tunnel, or tries again, has a pool."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest
from django.db import OperationalError, connections

import pooled_db
from pooled_db.driver.connection import connections as open_connections
from tests.backends.reaching.base import Connect, Reaching
from tests.checking import AddDatabase
from tests.database_server import SERVER
from tests.harness.processes import free_port, poll
from tests.harness.proxy import Proxy

pytestmark = pytest.mark.usefixtures("may_connect")

Params = dict[str, Any]
ReachBy = Callable[..., None]


@pytest.fixture
def reach_by(
    add_database: AddDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReachBy]:
    """Add the alias "far", whose backend opens connections as is told."""

    def add(way: Callable[[Connect, Params], Any], **database: Any) -> None:
        monkeypatch.setattr(Reaching, "way", way, raising=False)
        add_database("far", ENGINE="tests.backends.reaching", **database)

    yield add
    connections["far"].close()


@pytest.fixture
def tunnel() -> Iterator[Proxy]:
    with Proxy(SERVER.port) as proxy:
        yield proxy


def ask(sql: str) -> Any:
    with connections["far"].cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return row and row[0]


def number() -> int:
    """The server's number of the connection that a request gets."""
    connections["far"].close()
    return int(ask("SELECT CONNECTION_ID()"))


def how_many() -> int:
    """How many connections of this process are open, for anybody."""
    return sum(bool(one.open) for one in list(open_connections))


def through(port: int) -> Callable[[Connect, Params], Any]:
    return lambda connect, params: connect({**params, "port": port})


def test_a_tunnel_is_used_for_each_of_the_pools_connections(
    reach_by: ReachBy, tunnel: Proxy
) -> None:
    reach_by(through(tunnel.port), PORT=free_port())
    first = number()
    assert number() == first
    assert tunnel.connections() == 1
    tunnel.cut()
    assert poll(lambda: tunnel.connections() == 0)
    assert number() != first
    assert pooled_db.stats()["far"].opened == 2


def test_a_session_is_made_as_new_through_the_tunnel(
    reach_by: ReachBy, tunnel: Proxy
) -> None:
    reach_by(through(tunnel.port), PORT=free_port())
    first = number()
    ask("SET @left = 5")
    assert number() == first
    assert ask("SELECT @left") is None
    assert pooled_db.stats()["far"].opened == 1


def test_a_session_is_not_logged_in_to_with_what_the_settings_do_not_have(
    reach_by: ReachBy,
) -> None:
    """A token that the backend has fetched may have expired since."""
    reach_by(
        lambda connect, params: connect({**params, "password": SERVER.password}),
        PASSWORD="",
    )
    first = number()
    assert number() == first
    ask("SET @left = 5")
    assert number() != first
    assert pooled_db.stats()["far"].closed["dirty"] == 1


def test_a_tunnel_that_is_down_is_a_server_that_cannot_be_had(
    reach_by: ReachBy, tunnel: Proxy
) -> None:
    reach_by(through(tunnel.port), PORT=free_port())
    tunnel.refuse()
    for _ in range(2):
        with pytest.raises(OperationalError) as failed:
            connections["far"].ensure_connection()
        cause = failed.value.__cause__
        assert isinstance(cause, pooled_db.ServerUnavailable)
        assert cause.alias == "far"
    tunnel.forward()
    assert poll(can_be_had)


def can_be_had() -> bool:
    try:
        connections["far"].ensure_connection()
    except OperationalError:
        return False
    return True


def test_what_a_retry_opens_is_the_pools(reach_by: ReachBy) -> None:
    tried = []

    def again(connect: Connect, params: Params) -> Any:
        for port in (free_port(), free_port(), params["port"]):
            tried.append(port)
            with contextlib.suppress(MySQLdb.OperationalError):
                return connect({**params, "port": port})
        raise AssertionError

    reach_by(again)
    first = number()
    assert [number() for _ in range(3)] == [first] * 3
    assert len(tried) == 3
    stats = pooled_db.stats()["far"]
    assert (stats.opened, stats.checkouts, stats.refused) == (1, 4, 0)


def test_what_a_retry_has_closed_is_not_the_pools(reach_by: ReachBy) -> None:
    """As where a replica answers in place of the primary at first."""
    unwanted: list[int] = []

    def until_primary(connect: Connect, params: Params) -> Any:
        while True:
            connection = connect(params)
            if len(unwanted) == 2:
                return connection
            unwanted.append(connection.thread_id())
            connection.close()

    reach_by(until_primary)
    before = how_many()
    first = number()
    assert first not in unwanted
    assert number() == first
    assert how_many() == before + 1
    assert pooled_db.stats()["far"].opened == 1


def test_what_a_retry_leaves_open_when_it_gives_up_is_closed(reach_by: ReachBy) -> None:
    def never(connect: Connect, params: Params) -> Any:
        kept = [connect(params) for _ in range(2)]
        raise MySQLdb.OperationalError(2003, f"{len(kept)} connections are read-only")

    reach_by(never)
    before = how_many()
    with pytest.raises(OperationalError, match="read-only") as failed:
        connections["far"].ensure_connection()
    assert how_many() == before, failed
