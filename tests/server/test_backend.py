"""Django's wrapper on the pool, in code that is no request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, cast

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.backends.signals import connection_created

import pooled_db
from pooled_db import pools
from pooled_db.backends.mysql.base import DatabaseWrapper
from pooled_db.request.current import open_scope
from tests.checking import AddDatabase
from tests.database_server import SERVER
from tests.harness.kinds import private_server
from tests.harness.server import Server
from tests.site.models import Item
from tests.site.views import ask

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


ISOLATION = "@@tx_isolation" if SERVER.is_mariadb else "@@transaction_isolation"


@pytest.fixture(autouse=True)
def _closed() -> None:
    connections.close_all()


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function).result()


def settled(server: Server) -> int:
    """Questions so far, once the server has noticed all connections that ended."""
    before = -1
    while before != (before := server.status("Questions")):
        pass
    return before


def in_use(alias: str = "default") -> int:
    return pooled_db.stats()[alias].in_use


def isolation_level(wrapper: Any) -> str:
    with wrapper.cursor() as cursor:
        cursor.execute(f"SELECT {ISOLATION}")
        level: str = cursor.fetchone()[0]
        return level


def test_close_gives_the_connection_back_and_the_next_query_takes_one() -> None:
    first = ask("SELECT CONNECTION_ID()")
    assert in_use() == 1
    connection.close()
    assert in_use() == 0
    assert ask("SELECT CONNECTION_ID()") == first


def test_after_close_there_is_no_connection_that_could_be_used() -> None:
    ask("SELECT 1")
    assert connection.is_usable()
    connection.close()
    assert not connection.is_usable()


def test_a_thread_has_no_connection_once_its_request_has_ended_elsewhere() -> None:
    scope = open_scope()
    with ThreadPoolExecutor(1) as thread:
        mine = thread.submit(copy_context().run, ask, "SELECT CONNECTION_ID()").result()
        scope.close()
        assert ask("SELECT CONNECTION_ID()") == mine
        assert thread.submit(lambda: connection.connection).result() is None
        assert thread.submit(ask, "SELECT CONNECTION_ID()").result() != mine
        thread.submit(connections.close_all).result()


@pytest.mark.parametrize("durable", [False, True])
def test_a_block_that_was_left_open_is_nothing_to_the_threads_next_request(
    durable: bool,
) -> None:
    hooks: list[str] = []

    def leave_open() -> None:
        for _ in range(2):
            transaction.atomic().__enter__()
        Item.objects.create(name="lost")
        transaction.on_commit(lambda: hooks.append("ran"))

    def work() -> None:
        with transaction.atomic(durable=durable):
            Item.objects.create(name="kept")
            assert not connection.get_autocommit()
        with transaction.atomic(durable=True):
            pass

    scope = open_scope()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(copy_context().run, leave_open).result()
        scope.close()
        thread.submit(work).result()
        assert [item.name for item in Item.objects.all()] == ["kept"]
        assert hooks == []
        thread.submit(connections.close_all).result()


def test_threads_share_the_pool(server: Server) -> None:
    def work() -> object:
        try:
            return ask("SELECT CONNECTION_ID()")
        finally:
            connection.close()

    assert {in_thread(work) for _ in range(5)} == {in_thread(work)}


def test_a_warm_wrapper_asks_the_server_nothing_of_its_own(server: Server) -> None:
    ask("SELECT 1")
    connection.close()
    statements = settled(server)

    def work() -> None:
        for _ in range(10):
            ask("SELECT 1")
            connection.close()

    in_thread(work)
    assert server.status("Questions") - statements == 10


def test_what_was_learnt_of_the_server_stays_with_the_connection(
    server: Server,
) -> None:
    wrapper = cast("DatabaseWrapper", connection)

    def learn() -> Any:
        connection.ensure_connection()
        try:
            return wrapper.mysql_version, wrapper.mysql_is_mariadb
        finally:
            connection.close()

    learnt = in_thread(learn)
    statements = settled(server)

    assert in_thread(learn) == learnt
    assert server.status("Questions") == statements


def test_the_session_is_as_django_wants_it() -> None:
    assert ask("SELECT @@session.autocommit") == 1
    assert ask("SELECT @@session.sql_auto_is_null") == 0
    assert isolation_level(connection) == "READ-COMMITTED"


def test_to_set_up_the_session_again_undoes_what_was_set() -> None:
    ask("SELECT 1")
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    connection.init_connection_state()
    assert isolation_level(connection) == "READ-COMMITTED"


def test_a_copy_with_an_isolation_level_of_its_own_leaves_it_to_nobody() -> None:
    strict = connection.copy()
    strict.settings_dict["OPTIONS"]["isolation_level"] = "serializable"
    pools.dispose("default")
    for _ in range(2):
        assert isolation_level(strict) == "SERIALIZABLE"
        strict.close()
        assert isolation_level(connection) == "READ-COMMITTED"
        connection.close()
    assert pooled_db.stats()["default"].opened == 1


def test_options_reach_the_driver(server: Server) -> None:
    settings = {
        **connection.settings_dict,
        "OPTIONS": {
            **server.client_options,
            "init_command": "SET @greeting = 'hello'",
            "isolation_level": "serializable",
            "charset": "utf8mb3",
            "pool": {"pool_size": 1},
        },
    }
    other = DatabaseWrapper(settings, alias="with_options")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT @greeting, @@character_set_client")
            assert cursor.fetchone() == ("hello", "utf8mb3")
    finally:
        other.close()
        other.close_pool()


def test_persistent_connections_are_refused() -> None:
    settings = {**connection.settings_dict, "CONN_MAX_AGE": 60}
    with pytest.raises(ImproperlyConfigured, match="CONN_MAX_AGE"):
        DatabaseWrapper(settings, alias="persistent").ensure_connection()


def test_two_aliases_with_one_name_on_two_servers_never_mix(server: Server) -> None:
    with private_server() as second:
        name, options = (connection.settings_dict[key] for key in ("NAME", "OPTIONS"))
        settings = {**connection.settings_dict, **second.database(name, **options)}
        there = DatabaseWrapper(settings, alias="there")
        try:
            with there.cursor() as cursor:
                cursor.execute("SELECT @@port")
                port = cursor.fetchone()[0]
        finally:
            there.close()
            there.close_pool()
        assert port == second.port
        assert ask("SELECT @@port") == server.port


def test_a_changed_name_moves_the_pool_to_the_other_database(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    ask("SELECT 1")
    connection.close()
    moved = server.database("pooled_moved")["NAME"]
    monkeypatch.setitem(connection.settings_dict, "NAME", moved)

    assert ask("SELECT DATABASE()") == moved
    connection.close()
    monkeypatch.undo()
    assert ask("SELECT DATABASE()") != moved


@pytest.mark.parametrize(("age", "kept"), [(0, 0), (60, 1), (None, 1)])
def test_the_end_of_a_request_keeps_what_conn_max_age_tells_it_to_keep(
    monkeypatch: pytest.MonkeyPatch, age: int | None, kept: int
) -> None:
    ask("SELECT 1")
    connection.close()
    # Refused when a pool is made; tests change it when there is one.
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", age)
    ask("SELECT 1")
    connection.close_if_unusable_or_obsolete()
    assert in_use() == kept


def test_what_was_kept_goes_back_when_it_is_closed_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = ask("SELECT CONNECTION_ID()")
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    ask("SELECT 1")
    connection.close_if_unusable_or_obsolete()
    connection.close()
    assert ask("SELECT CONNECTION_ID()") == first


def test_credentials_are_read_at_each_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    ask("SELECT 1")
    connection.close()
    pools.dispose("default")
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "rotated")
    with pytest.raises(DatabaseError, match="Access denied"):
        ask("SELECT 1")
    monkeypatch.undo()
    pools.dispose("default")  # rather than wait until it tries again
    assert ask("SELECT 1") == 1


def test_using_and_several_aliases_have_their_own_connections() -> None:
    Item.objects.using("default").create(name="here")
    Item.objects.using("other").create(name="there")
    assert list(Item.objects.using("other").values_list("name", flat=True)) == ["there"]
    assert in_use("default") == in_use("other") == 1


def test_a_mirror_is_the_connection_that_it_mirrors() -> None:
    Item.objects.create(name="mirrored")
    assert connections["replica"] is not None
    assert ask("SELECT DATABASE()", using="replica") == ask("SELECT DATABASE()")


def test_connection_created_is_sent_each_time_a_wrapper_connects() -> None:
    sent: list[Any] = []

    def receive(connection: Any, **kwargs: Any) -> None:
        sent.append(connection)

    connection_created.connect(receive)
    try:
        for _ in range(2):
            ask("SELECT 1")
            connection.close()
    finally:
        connection_created.disconnect(receive)
    assert len(sent) == 2


def test_closing_inside_an_atomic_block_says_so_at_the_next_query() -> None:
    with transaction.atomic():
        Item.objects.create(name="lost")
        connection.close()
        with pytest.raises(ProgrammingError, match="in an atomic block"):
            Item.objects.count()
    assert Item.objects.count() == 0


def test_a_block_after_one_that_was_closed_inside_is_committed() -> None:
    def in_request(*, close: bool) -> None:
        with contextlib.closing(open_scope()), transaction.atomic():
            Item.objects.create(name=f"{close=}")
            if close:
                connection.close()

    copy_context().run(in_request, close=True)
    copy_context().run(in_request, close=False)
    seen = in_thread(lambda: list(Item.objects.values_list("name", flat=True)))
    assert seen == ["close=False"]


def test_release_gives_back_what_this_thread_has_open() -> None:
    ask("SELECT 1")
    pooled_db.release()
    assert in_use() == 0


def test_release_inside_an_atomic_block_is_an_error() -> None:
    with transaction.atomic():
        with pytest.raises(transaction.TransactionManagementError, match="release"):
            pooled_db.release()
        Item.objects.create(name="kept")
    assert Item.objects.count() == 1


def test_so_is_it_in_a_transaction_without_a_block() -> None:
    connection.set_autocommit(False)
    Item.objects.create(name="kept")
    with pytest.raises(transaction.TransactionManagementError, match="release"):
        pooled_db.release()
    connection.commit()
    connection.set_autocommit(True)
    pooled_db.release()
    assert (in_use(), Item.objects.count()) == (0, 1)


def test_so_is_it_with_autocommit_off_until_the_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    pools.dispose("default")
    pooled_db.release()  # nothing has been asked yet
    Item.objects.create(name="kept")
    with pytest.raises(transaction.TransactionManagementError, match="release"):
        pooled_db.release()
    connection.commit()
    pooled_db.release()
    assert (in_use(), Item.objects.count()) == (0, 1)
    connection.close()


def test_release_leaves_what_is_not_pooled_alone(add_database: AddDatabase) -> None:
    closed: list[str] = []

    class Unpooled:
        in_atomic_block = True

        def close(self) -> None:
            closed.append("it")

    add_database("files", ENGINE="django.db.backends.sqlite3")
    connections["files"] = cast("Any", Unpooled())
    ask("SELECT 1")
    pooled_db.release()
    assert (closed, in_use()) == ([], 0)


def test_on_commit_hooks_run() -> None:
    ran: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: ran.append("hook"))
    assert ran == ["hook"]


def test_after_a_transaction_the_connection_is_on_call() -> None:
    with transaction.atomic():
        ask("SELECT 1")
    wrapper = cast("DatabaseWrapper", connections["default"])
    pool, loan = wrapper.pool, wrapper.loan
    assert pool is not None
    assert loan is not None
    with pool.gate.lock:
        assert loan.call_back()
    loan.checkin()


def test_a_shared_wrapper_works_in_another_thread() -> None:
    ask("SELECT 1")
    connection.inc_thread_sharing()
    try:
        here = connections["default"]

        def work() -> Any:
            with here.cursor() as cursor:
                cursor.execute("SELECT 5")
                return cursor.fetchone()[0]

        assert in_thread(work) == 5
    finally:
        connection.dec_thread_sharing()


def test_a_wrapper_with_another_isolation_level_gets_it_and_no_one_else_does() -> None:
    def level(wrapper: Any) -> object:
        with wrapper.cursor() as cursor:
            cursor.execute(f"SELECT {ISOLATION}")
            return cursor.fetchone()[0]

    usual = level(connection)
    connection.close()
    other = cast("DatabaseWrapper", connection.copy())
    other.settings_dict["OPTIONS"] = {
        **other.settings_dict["OPTIONS"],
        "isolation_level": "Repeatable Read",
    }
    assert level(other) == "REPEATABLE-READ"
    assert other.isolation_level == "repeatable read"
    other.close()

    assert level(connection) == usual == "READ-COMMITTED"
    connection.close()
    assert level(other) == "REPEATABLE-READ"
    other.close()


def test_autocommit_that_is_off_in_the_settings_is_off_in_a_warm_wrapper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask("SELECT 1")
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    assert ask("SELECT @@autocommit") == 0
    assert connection.get_autocommit() is False
    connection.close()
    monkeypatch.undo()
    assert ask("SELECT @@autocommit") == 1


@pytest.mark.parametrize("how", ["cursor", "transaction"])
def test_what_is_called_back_just_before_its_use_is_replaced(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    ask("SELECT 1")
    wrapper: Any = connection
    pool, ensure_connection = wrapper.pool, wrapper.ensure_connection
    called_back: list[bool] = []

    def ensure_and_call_back() -> None:
        ensure_connection()
        if not called_back:
            loan = wrapper.loan
            with pool.gate.lock:
                called_back.append(loan.call_back())
            loan.checkin()

    monkeypatch.setattr(
        connections["default"], "ensure_connection", ensure_and_call_back
    )
    if how == "transaction":
        connection.set_autocommit(False)
    assert ask("SELECT @@autocommit") == (how == "cursor")
    assert not wrapper.loan.pins
    monkeypatch.undo()
    connection.set_autocommit(True)

    assert called_back == [True]
