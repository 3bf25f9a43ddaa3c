"""From alias to pool: which there are, where they lead, and what a child has."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from pooled_db import conf, pools, signals, state
from pooled_db.driver.addresses import addresses
from pooled_db.model_checks import check_models
from pooled_db.pool import cleaners, stall
from pooled_db.pool.numbers import GRANTED
from pooled_db.pool.pool import Pool
from pooled_db.pool.upkeep import upkeep
from tests.forks import in_child
from tests.gates import PATIENCE
from tests.harness.fake_server import FakeServer
from tests.loans import connector


def add(monkeypatch: pytest.MonkeyPatch, alias: str, **database: Any) -> None:
    like = {**connections.settings["default"], **database}
    monkeypatch.setitem(connections.settings, alias, like)


# Which there are.


def test_an_alias_without_its_driver_has_no_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(monkeypatch, "old", ENGINE="nowhere.backend")
    add(monkeypatch, "of_django", ENGINE="django.db.backends.sqlite3")
    assert not pools.is_pooled("old")
    assert not pools.is_pooled("of_django")
    assert pools.is_pooled("default")
    assert "old" not in pools.pooled_aliases()
    assert not pools.is_pooled("of_nobody")


def test_a_pool_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper: Any = connections["default"]
    pool = pools.for_wrapper(wrapper)
    monkeypatch.setattr(pools, "_build", pytest.fail)
    assert pools.for_wrapper(wrapper) is pools.for_alias("default") is pool


def test_an_alias_whose_backend_cannot_be_imported_has_no_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = "django.db.backends.oracle"
    add(monkeypatch, "old", ENGINE=engine)
    monkeypatch.setitem(sys.modules, f"{engine}.base", None)
    with pytest.raises(ImportError):
        connections["old"]
    assert not pools.is_pooled("old")
    # Nor are its models judged by anybody but Django, which names all databases.
    assert check_models(app_configs=[], databases=["old"]) == []


@pytest.mark.parametrize("use", [pools.stats, lambda: pools.for_alias("other")])
def test_the_pool_of_an_alias_that_is_deleted_goes_with_the_next_look(
    monkeypatch: pytest.MonkeyPatch, use: Callable[[], object]
) -> None:
    kept = pools.for_alias("default")
    add(monkeypatch, "tenant")
    gone = pools.for_alias("tenant")
    del connections["tenant"], connections.settings["tenant"]
    use()
    assert gone.is_disposed
    assert not kept.is_disposed
    assert "tenant" not in pools.stats()
    assert pools.for_alias("default") is kept


def test_all_are_disposed_of_at_once() -> None:
    made = [pools.for_alias("default"), pools.for_alias("other")]
    pools.dispose_all()
    assert all(pool.is_disposed for pool in made)
    assert pools.stats() == {}


def test_a_lost_connection_counts_as_a_refusal_where_there_is_a_pool() -> None:
    pool = pools.for_alias("default")
    pools.count_lost("default")
    pools.count_lost("other")
    assert pool.stats().refused == 1
    assert pool.stats().refused_by["connection_lost"] == 1
    assert list(pools.stats()) == ["default"]


# As the settings say.


@pytest.fixture
def tenants(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> Iterator[Pool]:
    """A pool that other processes can see, with settings of its own."""
    tmp_path.chmod(0o700)
    settings.POOLED_DB = {
        "STATE_DIR": str(tmp_path),
        "PRIORITY": [r"^pay/"],
        "PRIORITY_SHARE": 0.5,
    }
    options = {"pool": {"pool_size": 20, "max_overflow": 12}}
    add(monkeypatch, "tenant", AUTOCOMMIT=False, OPTIONS=options)
    yield pools.for_alias("tenant")
    pools.dispose("tenant")
    del connections["tenant"]


def test_a_pool_is_as_its_settings_say(tenants: Pool) -> None:
    assert (tenants.gate.capacity, tenants.gate.reserved) == (32, 16)
    assert (tenants.alias, tenants._cleaning.autocommit) == ("tenant", False)
    assert len(tenants.numbers.slots) >= 32  # each connection is seen
    (process,) = state.look().processes
    told = process.pools["tenant"].settings
    assert (told["pool_size"], told["max_overflow"], told["hold"]) == (
        20,
        12,
        "request",
    )


def test_of_wrong_settings_it_is_said_whose_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(monkeypatch, "tenant", OPTIONS={"pool": {"timeout": 0}})
    with pytest.raises(ImproperlyConfigured, match=r'^DATABASES\["tenant"\]'):
        pools.for_alias("tenant")
    del connections["tenant"]


@pytest.mark.parametrize(
    ("threads", "may_wait"),
    [
        (None, None),
        (32, None),
        # An eighth of them is left to refuse others.
        (64, 64 - 32 - 8),
        (128, 128 - 32 - 16),
        # One may wait in any case, and one is left.
        (33, 1),
        (38, 38 - 32 - 4),
    ],
)
def test_so_many_may_wait_that_threads_are_left_to_refuse_others(
    tenants: Pool,
    monkeypatch: pytest.MonkeyPatch,
    threads: int | None,
    may_wait: int | None,
) -> None:
    pools.dispose("tenant")
    monkeypatch.setattr(pools, "threads_of_this_process", lambda: threads)
    assert pools.for_alias("tenant").gate._queue.crowd == may_wait


def test_it_sees_the_pools_of_other_processes_for_the_same_server(
    tenants: Pool,
) -> None:
    assert tenants.home is not None
    made = [
        state.numbers_for("tenant", 32, {}, place)
        for place in (tenants.home.place, tenants.home.place, "another server")
    ]
    assert len([*tenants._connector.surplus._share._siblings()]) == 2
    siblings = state.siblings_of(made[0], tenants.home.place)
    assert len([*siblings()]) == 2  # and they see it
    for numbers in made:
        numbers.leave()


def test_of_two_that_are_made_at_once_all_use_one_and_others_see_no_other(
    tenants: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools.dispose("tenant")
    wrapper: Any = connections["tenant"]
    build = pools._build
    made: list[Pool] = []

    def build_as_another_thread_does(wrapper: Any) -> Pool:
        monkeypatch.setattr(pools, "_build", build)
        made.extend([build(wrapper), pools.for_wrapper(wrapper)])
        return made[0]

    monkeypatch.setattr(pools, "_build", build_as_another_thread_does)
    pool = pools.for_wrapper(wrapper)
    assert pool is made[1] is pools.for_alias("tenant")
    assert made[0].numbers.file is None
    assert pool.numbers.file is not None


@pytest.mark.parametrize("lent", [[], [object()]], ids=["idle", "lent"])
def test_others_see_it_until_its_connections_are_back(
    tenants: Pool, monkeypatch: pytest.MonkeyPatch, lent: list[object]
) -> None:
    monkeypatch.setattr(tenants, "lent", lambda: lent)
    pools.dispose("tenant")
    assert (tenants.numbers.file is not None) == bool(lent)


def test_the_ends_of_its_connections_are_told_with_its_alias(tenants: Pool) -> None:
    told: list[dict[str, Any]] = []

    def receive(signal: object, sender: object, **kwargs: Any) -> None:
        told.append(kwargs)

    both = signals.connection_opened, signals.connection_closed
    connection: Any = SimpleNamespace(connection_id=7)
    for signal in both:
        signal.connect(receive)
    assert tenants.on_opened is not None
    assert tenants.on_closed is not None
    tenants.on_opened(connection)
    tenants.on_closed(connection, "idle")
    for signal in both:
        signal.disconnect(receive)
    assert told == [
        {"alias": "tenant", "connection_id": 7},
        {"alias": "tenant", "connection_id": 7, "reason": "idle"},
    ]


@pytest.mark.parametrize(
    ("setting", "is_disposed"),
    [("DATABASES", True), ("SQLALCHEMY_QUEUEPOOL", True), ("DEBUG", False)],
)
def test_settings_that_a_test_changes_are_those_of_the_next_pool(
    setting: str, is_disposed: bool
) -> None:
    pool = pools.for_alias("default")
    pools._settings_changed(setting=setting)
    assert pool.is_disposed is is_disposed


def test_of_a_few_threads_one_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "threads_of_this_process", lambda: 7)
    assert pools._crowd(conf.PoolSettings(pool_size=1)) == 7 - 1 - 1


# Where their connections lead.


@pytest.fixture
def pool() -> Pool:
    return pools.for_alias("default")


def wrapper_for(database: dict[str, Any]) -> Any:
    return type(connections["default"])(database, "default")


def test_it_leads_where_the_settings_of_its_alias_do(pool: Pool) -> None:
    leads = pools.leading(connections["default"], pool)  # type: ignore[arg-type]
    assert leads == (pool.home, pool.connect)
    assert leads[0].is_of(connections.settings["default"])


def test_it_leads_elsewhere_once_the_settings_of_its_alias_do(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, "default", NAME="moved")
    database = connections.settings["default"]
    for _ in range(2):
        leads = pools.leading(wrapper_for(database), pool)
        assert leads[0].is_of(database)
        assert leads == (pool.home, pool.connect)


def test_one_wrapper_that_leads_elsewhere_does_so_alone(pool: Pool) -> None:
    before = pool.home, pool.connect
    database = {**connections.settings["default"], "NAME": "its own"}
    home, connect = pools.leading(wrapper_for(database), pool)
    assert home.is_of(database)
    assert connect != pool.connect
    assert (pool.home, pool.connect) == before


# In a forked child.


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="it needs Linux")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_starts_without_pools_and_keeps_those_of_its_parent() -> None:
    """To take them apart is to use their locks, which a thread may have held."""
    parents = weakref.ref(pools.for_alias("default"))
    before = descriptors()

    def work() -> bool:
        gc.collect()
        parent = parents()
        return (
            pools.stats() == {}
            and parent is not None
            and parent.is_disposed
            and pools.for_alias("default") is not parent
            and descriptors() == before
        )

    assert in_child(work) == 0
    pool = parents()
    assert pool is not None
    assert not pool.is_disposed
    assert pools.for_alias("default") is pool


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_says_nothing_to_the_server_of_its_parent(server: FakeServer) -> None:
    """Not even when its collector closes what it has inherited."""
    connection = connector(server)()

    def work() -> bool:
        with open(os.devnull, "rb") as null:
            return os.path.sameopenfile(connection.fileno(), null.fileno())

    assert in_child(work) == 0
    assert connection.is_alive()
    assert connection.answers(PATIENCE)
    connection.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    "lock",
    [lambda: stall._lock, lambda: upkeep._changed, lambda: addresses._lock],
    ids=["stall", "upkeep", "addresses"],
)
def test_no_thread_of_its_parent_has_a_lock_in_a_child(lock: Callable[[], Any]) -> None:
    with lock():
        assert in_child(lambda: lock().acquire(blocking=False)) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_cleans_with_threads_of_its_own() -> None:
    """Those of its parent are not there, and would never come to it."""
    parents = cleaners.cleaners()
    parents.submit(int).result()

    def work() -> bool:
        return cleaners.cleaners().submit(int).result(timeout=PATIENCE) == 0

    assert in_child(work) == 0
    assert cleaners.cleaners() is parents


def test_a_pool_tells_others_that_all_is_granted_until_it_knows_better() -> None:
    pools.dispose("default")
    pool = pools.for_alias("default")
    assert pool.numbers.words[GRANTED] == pool.gate.capacity > 0
