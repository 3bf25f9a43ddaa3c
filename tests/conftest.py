"""Fixtures, and the rule that no test may leave anything behind."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import MySQLdb
import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from pooled_db import pools
from pooled_db.backends.mysql.base import PooledMixin
from pooled_db.driver.connection import Connection
from pooled_db.pool.permit import Permit
from pooled_db.pool.pool import Pool
from tests import database_server
from tests.checking import AddDatabase, like_the_default
from tests.database_server import SERVER
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.sites import Site, make_tables, serve


def pytest_collection_finish() -> None:
    """Let collections after each test look only at what tests have made."""
    gc.collect()
    gc.freeze()


def start_anew() -> None:
    """Forget all pools, as a process has none that has just started."""
    connections.close_all()
    for alias in pools.stats():
        pools.dispose(alias)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    start_anew()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """As ever, but the first test that asks for it finds as little open as the rest."""
    start_anew()


@pytest.fixture(scope="session")
def server() -> Server:
    return database_server.start()


def assert_at_rest(pool: Pool) -> None:
    """Nothing is lent and nobody waits, by every count that there is."""
    gate = pool.gate
    assert (pool.stats().in_use, gate.free, gate.waiting) == (0, gate.capacity, 0)
    if not pool.is_disposed:
        # What the upkeep is just parking counts as checked out for a moment.
        assert poll(lambda: pool.checkedout() == 0), pool.checkedout()


@pytest.fixture(autouse=True)
def nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test every permit is free and no transaction is open."""
    yield
    monkeypatch.undo()  # what a test has replaced is not for others' connections
    connections.close_all()
    gc.collect()
    used = False
    for alias, stats in pools.stats().items():
        assert_at_rest(pools.for_alias(alias))
        used |= stats.checkouts > 0
    if used:
        # The server rolls back after the client has hung up, when it gets to it.
        assert poll(lambda: SERVER.open_transactions() == 0)
    start_anew()  # an outage that was played is not for pytest-django's clearing up


def connector(server: Server, name: str, **options: Any) -> Callable[[], Connection]:
    """Return what opens a connection of the pool's kind to database *name*."""
    database = server.database(name)
    return lambda: Connection(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=database["PASSWORD"],
        database=database["NAME"],
        autocommit=True,
        **server.client_options,
        **options,
    )


@pytest.fixture
def make_pool(server: Server) -> Iterator[Callable[..., Pool]]:
    """Make a pool without Django on a database of its own."""
    to_server = connector(server, "pooled_bare")
    made: list[Pool] = []

    def make(connect: Callable[[], Connection] = to_server, **options: Any) -> Pool:
        pool = Pool("bare", connect, **options)
        made.append(pool)
        return pool

    yield make
    for pool in made:
        assert_at_rest(pool)
        pool.dispose()


@pytest.fixture
def full_pool(pool: Pool) -> Iterator[Pool]:
    """The module's `pool` with every permit taken by somebody else."""
    permits = [Permit() for _ in range(pool.gate.capacity)]
    for permit in permits:
        pool.gate.acquire(permit, pool.timeout)
    yield pool
    for permit in permits:
        pool.gate.release(permit)


@pytest.fixture
def like_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the requests of Django's test client count as those of a server."""
    monkeypatch.setattr("pooled_db.middleware.OF_TEST_CLIENT", "_of_nobody")


@pytest.fixture(scope="session")
def site_database(server: Server) -> dict[str, Any]:
    """A database with the tables of the test site."""
    database = server.database("pooled_site")
    make_tables(database)
    return database


@pytest.fixture
def site(site_database: dict[str, Any]) -> Iterator[Callable[..., Site]]:
    """Serve the test site with a real application server, and look after it."""
    with contextlib.ExitStack() as stack:

        def serve_until_the_end(*args: Any, **kwargs: Any) -> Site:
            kwargs.setdefault("database", site_database)
            return stack.enter_context(serve(*args, **kwargs))

        yield serve_until_the_end


@pytest.fixture(scope="module")
def served_once(site_database: dict[str, Any]) -> Iterator[Callable[..., Site]]:
    """Serve the test site until the module ends, once for each way to serve it."""
    served: dict[str, Site] = {}
    with contextlib.ExitStack() as stack:

        def serve_once(*args: Any, **kwargs: Any) -> Site:
            wanted = repr((args, sorted(kwargs.items())))
            if wanted not in served:
                site = serve(*args, database=site_database, **kwargs)
                served[wanted] = stack.enter_context(site)
            return served[wanted]

        yield serve_once


@pytest.fixture
def shared_site(served_once: Callable[..., Site]) -> Iterator[Callable[..., Site]]:
    """As `site`, for tests that do not care what the site has served before."""
    with contextlib.ExitStack() as stack:

        def serve_until_the_end(*args: Any, **kwargs: Any) -> Site:
            site = served_once(*args, **kwargs)
            stack.callback(site.assert_nothing_left)
            return site

        yield serve_until_the_end


@pytest.fixture
def add_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[AddDatabase]:
    """Add an alias to DATABASES that is like the default one but for what is given."""
    added: list[str] = []

    def add(alias: str, **database: Any) -> None:
        monkeypatch.setitem(connections.settings, alias, like_the_default(database))
        added.append(alias)

    yield add
    for alias in added:
        connections[alias].close()
        pools.dispose(alias)
        del connections[alias]


@pytest.fixture
def may_connect(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The aliases to which a connection was attempted: no server answers."""
    # As in a process that has just begun: nothing is open, and nothing was asked.
    pools.dispose("default")
    vars(connections["default"]).pop("mysql_server_data", None)
    attempted: list[str] = []

    def fail(wrapper: PooledMixin) -> None:
        attempted.append(wrapper.alias)
        raise MySQLdb.OperationalError(2003, "Can't connect to server")

    monkeypatch.setattr(PooledMixin, "open_connection", fail)
    return attempted
