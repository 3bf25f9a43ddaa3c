"""A connection that leads elsewhere is never lent, whenever the settings change."""

from __future__ import annotations

import contextvars
import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from pooled_db import pools
from pooled_db.middleware import PooledConnectionMiddleware
from tests.database_server import SERVER
from tests.harness.server import Server
from tests.site.views import ask
from tests.sites import run_python

pytestmark = pytest.mark.django_db(transaction=True)

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    database = connections.settings["default"]
    before = copy.deepcopy(database)
    yield
    connections.close_all()
    database.clear()
    database.update(before)
    connection.settings_dict = database
    pools.dispose("default")


@pytest.fixture
def tenants(server: Server) -> list[str]:
    names = ["pooled_tenant_a", "pooled_tenant_b"]
    for name in names:
        server.database(name)
    return names


def in_place(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


def replaced(name: str) -> None:
    connection.close()
    connection.settings_dict = {**connection.settings_dict, "NAME": name}


def in_options(name: str) -> None:
    connection.close()
    connection.settings_dict["OPTIONS"]["database"] = name


switches = pytest.mark.parametrize("switch", [in_place, replaced])


@switches
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_view_reads_the_database_that_a_middleware_below_has_chosen(
    rf: RequestFactory,
    tenants: list[str],
    switch: Callable[[str], None],
    asked_before: bool,
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        if asked_before:
            ask("SELECT 1")
        switch(request.GET["tenant"])
        return HttpResponse(str(ask("SELECT DATABASE()")))

    middleware = PooledConnectionMiddleware(view)
    for tenant in [*tenants, *tenants]:
        answer = middleware(rf.get("/", {"tenant": tenant}))
        assert answer.content.decode() == tenant
    assert SERVER.open_transactions() == 0
    pool = pools.for_alias("default")
    assert (pool.gate.free, pool.checkedout()) == (pool.gate.capacity, 0)


@switches
def test_a_view_reads_the_database_that_a_middleware_above_has_chosen(
    rf: RequestFactory, tenants: list[str], switch: Callable[[str], None]
) -> None:
    middleware = PooledConnectionMiddleware(
        lambda request: HttpResponse(str(ask("SELECT DATABASE()")))
    )
    for tenant in [*tenants, *tenants]:
        switch(tenant)
        assert middleware(rf.get("/")).content.decode() == tenant


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda database: database.update(NAME="pooled_tenant_a"), "SELECT DATABASE()"),
        (
            lambda database: database["OPTIONS"].update(init_command="SET @mine = 1"),
            "SELECT @mine",
        ),
        (
            lambda database: database["OPTIONS"].update(charset="latin1"),
            "SELECT @@character_set_client",
        ),
    ],
    ids=["name", "init_command", "charset"],
)
def test_what_leads_elsewhere_gets_a_connection_of_its_own(
    tenants: list[str], change: Change, seen: str
) -> None:
    before = ask(seen)
    connection.close()
    change(connection.settings_dict)
    changed = ask(seen)
    assert changed != before
    connection.close()
    assert ask(seen) == changed


def test_the_pool_leads_where_other_settings_of_its_alias_lead(
    tenants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are another object, as after an override; each thread's wrapper has it."""
    ask("SELECT 1")
    connection.close()
    other = {**connections.settings["default"], "NAME": tenants[0]}
    monkeypatch.setitem(connections.settings, "default", other)

    def work() -> object:
        try:
            return ask("SELECT DATABASE()")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(work).result() == tenants[0]


def test_threads_with_a_tenant_each_share_the_limit(tenants: list[str]) -> None:
    pool = pools.for_alias("default")

    def work(number: int) -> bool:
        tenant = tenants[number % 2]
        connection.settings_dict = {**connection.settings_dict, "NAME": tenant}
        try:
            return ask("SELECT DATABASE()") == tenant
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(60)))
    assert pools.for_alias("default") is pool
    stats = pool.stats()
    assert stats.in_use + stats.idle <= stats.limit


def test_new_credentials_are_used_for_the_next_connection(server: Server) -> None:
    ask("SELECT 1")
    connection.close()
    connection.settings_dict["USER"] = "nobody_of_that_name"
    with pytest.raises(Exception, match="denied"):
        ask("SELECT 1")


def test_the_connections_of_an_alias_that_is_deleted_are_closed(
    site_database: dict[str, Any],
) -> None:
    told = run_python(
        """
        import copy
        from django.db import connections
        import pooled_db
        from tests.site.views import ask

        default = copy.deepcopy(connections.settings["default"])
        connections.settings["tenant"] = default
        opened = ask("SELECT CONNECTION_ID()", using="tenant")
        connections["tenant"].close()
        del connections["tenant"]
        del connections.settings["tenant"]

        print(list(pooled_db.stats()))
        ask("DO 1")
        print(list(pooled_db.stats()))
        ids = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s"
        while ask(ids, opened):
            pass
        connections.close_all()
        """,
        site_database,
    )
    assert told.split("\n")[:2] == ["[]", "['default']"]


def test_a_request_goes_on_if_its_pool_is_disposed_of(rf: RequestFactory) -> None:
    """As that of a tenant whose alias is deleted, and made again."""
    threads = ThreadPoolExecutor(1)

    def view(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            first = ask("SELECT CONNECTION_ID()")
            pools.dispose("default")
            asking = contextvars.copy_context().run
            other = threads.submit(asking, ask, "SELECT CONNECTION_ID()")
            assert other.result(timeout=10) != first
        return HttpResponse(str(pools.for_alias("default").stats().in_use))

    with threads:  # which the end of the request leaves nothing to do
        assert PooledConnectionMiddleware(view)(rf.get("/")).content == b"1"
    assert pools.for_alias("default").stats().in_use == 0
