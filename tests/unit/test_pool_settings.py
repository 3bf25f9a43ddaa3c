"""A pool's settings: what is right is taken as it is, what is wrong is named."""

from __future__ import annotations

import dataclasses
import math
import threading
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooled_db import conf, pools
from pooled_db.conf import PoolSettings

POSITIVE_INTEGER = "must be an integer of at least 1 and below 1,000,000,000"
INTEGER = "must be an integer of at least 0 and below 1,000,000,000"
INTEGER_OR_NONE = f"{INTEGER}, or None for no bound"
SECONDS = "must be a number of seconds above 0 and below 1,000,000,000"
SECONDS_FROM_0 = (
    "must be a number of seconds from 0 on and below 1,000,000,000, or None"
)
SECONDS_OR_NONE = f"{SECONDS}, or None to switch it off"
BOOLEAN = "must be True or False"

POOL_OPTIONS = [option.name for option in dataclasses.fields(PoolSettings)]
THE_POOL_OPTIONS = f"The options are {', '.join(POOL_OPTIONS)}."

WRONG_POOL_OPTIONS: list[tuple[str, Any, str]] = [
    ("pool_size", 0, POSITIVE_INTEGER),
    ("pool_size", -5, POSITIVE_INTEGER),
    ("pool_size", None, POSITIVE_INTEGER),
    ("pool_size", True, POSITIVE_INTEGER),
    ("pool_size", "10", POSITIVE_INTEGER),
    ("pool_size", 10.0, POSITIVE_INTEGER),
    ("pool_size", math.inf, POSITIVE_INTEGER),
    ("pool_size", 2**63, POSITIVE_INTEGER),
    ("max_overflow", -1, INTEGER),
    ("max_overflow", 10**9, INTEGER),
    ("max_overflow", False, INTEGER),
    ("max_overflow", 1.5, INTEGER),
    ("timeout", 0, SECONDS),
    ("timeout", -1, SECONDS),
    ("timeout", None, SECONDS),
    ("timeout", True, SECONDS),
    ("timeout", "5", SECONDS),
    ("timeout", [5], SECONDS),
    ("timeout", math.nan, SECONDS),
    ("timeout", math.inf, SECONDS),
    ("timeout", 1e9, SECONDS),
    ("timeout", 10**20, SECONDS),
    ("recycle", -1, SECONDS),
    ("recycle", math.nan, SECONDS),
    ("ping_after", -1, SECONDS_FROM_0),
    ("check_on_connect", "", "must be an SQL statement, or None for no check"),
    ("check_on_connect", True, "must be an SQL statement, or None for no check"),
    ("max_idle", 0, SECONDS_OR_NONE),
    ("warn_after", 0, SECONDS_OR_NONE),
    ("max_idle", "60", SECONDS_OR_NONE),
    ("ping_after", False, SECONDS_FROM_0),
    ("ping_after", "30", SECONDS_FROM_0),
    ("use_lifo", 1, BOOLEAN),
    ("use_lifo", "no", BOOLEAN),
    ("echo", "loud", 'must be True, False or "debug"'),
    ("reset", "never", 'must be "dirty", "always" or "rollback"'),
    ("hold", "session", 'must be "request" or "transaction"'),
    ("max_waiting", -1, INTEGER_OR_NONE),
    ("max_waiting", True, INTEGER_OR_NONE),
    ("max_waiting", 2.0, INTEGER_OR_NONE),
    ("queue_target", 0, SECONDS_OR_NONE),
    ("queue_target", "0.1", SECONDS_OR_NONE),
    ("queue_target", math.nan, SECONDS_OR_NONE),
    ("queue_interval", 0, SECONDS),
    ("queue_interval", None, SECONDS),
]

RIGHT_POOL_OPTIONS: list[tuple[str, Any]] = [
    ("pool_size", 1),
    ("max_overflow", 0),
    ("max_overflow", 1000),
    ("timeout", 0.001),
    ("timeout", 7),
    ("timeout", 999_999_999),
    ("recycle", 119),
    ("ping_after", 0),
    ("ping_after", 0.5),
    ("ping_after", None),
    ("check_on_connect", "SELECT @@read_only = 0"),
    ("check_on_connect", None),
    ("max_idle", 5),
    ("warn_after", 5),
    ("warn_after", None),
    ("max_idle", None),
    ("use_lifo", True),
    ("echo", True),
    ("echo", "debug"),
    ("reset", "always"),
    ("hold", "transaction"),
    ("max_waiting", 0),
    ("max_waiting", None),
    ("queue_target", 0.1),
    ("queue_target", None),
    ("queue_interval", 0.1),
]


def database(pool: Any = True, **settings: Any) -> dict[str, Any]:
    return {"OPTIONS": {"pool": pool}, **settings}


# Whether there is a pool.


@pytest.mark.parametrize(
    ("settings", "pooled"),
    [
        ({}, True),
        ({"OPTIONS": {}}, True),
        ({"OPTIONS": {"charset": "utf8mb4"}}, True),
        (database(True), True),
        (database({}), True),
        (database({"pool_size": 3}), True),
        (database(False), False),
    ],
)
def test_only_false_switches_the_pool_off(
    settings: dict[str, Any], pooled: bool
) -> None:
    assert conf.is_pooled(settings) is pooled
    assert conf.pool_problems("default", settings) == []


@pytest.mark.parametrize("pool", [None, 0, 1, "", "yes", [], ["pool_size"], 3.5])
def test_a_pool_is_true_false_or_a_dict(pool: Any) -> None:
    assert conf.is_pooled(database(pool))
    assert conf.pool_problems("other", database(pool)) == [
        (
            'DATABASES["other"]["OPTIONS"]["pool"] must be True, False or a dict, '
            f"not {pool!r}."
        )
    ]


# What the pool is like.


def test_a_pool_has_defaults() -> None:
    assert PoolSettings() == PoolSettings(
        pool_size=10,
        max_overflow=0,
        timeout=5.0,
        recycle=1800.0,
        ping_after=None,
        check_on_connect=None,
        max_idle=60.0,
        warn_after=None,
        use_lifo=False,
        echo=False,
        reset="dirty",
        hold="request",
        max_waiting=1000,
        queue_target=0.08,
        queue_interval=1.0,
    )


@pytest.mark.parametrize("settings", [{}, database(True), database({})])
def test_what_is_not_written_has_its_default(settings: dict[str, Any]) -> None:
    assert conf.pool_settings("default", settings) == PoolSettings()


def test_sqlalchemy_queuepool_holds_for_every_alias(settings: Any) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {
        "pool_size": 10,
        "max_overflow": 10,
        "timeout": 5,
        "recycle": 119,
    }

    wanted = PoolSettings(pool_size=10, max_overflow=10, timeout=5, recycle=119)
    assert conf.pool_settings("default", database(True)) == wanted
    assert conf.pool_settings("other", {}) == wanted


def test_the_alias_wins_over_sqlalchemy_queuepool_key_by_key(
    settings: Any,
) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {"pool_size": 2, "timeout": 3}

    assert conf.pool_settings(
        "default", database({"pool_size": 7, "use_lifo": True})
    ) == PoolSettings(pool_size=7, timeout=3, use_lifo=True)


@pytest.mark.parametrize(("name", "value"), RIGHT_POOL_OPTIONS)
def test_a_right_value_is_taken_as_it_is(name: str, value: Any) -> None:
    taken = getattr(conf.pool_settings("default", database({name: value})), name)

    assert taken == value
    assert type(taken) is type(value)


def test_every_option_has_a_wrong_and_a_right_value_here() -> None:
    assert {name for name, _ in RIGHT_POOL_OPTIONS} == {*POOL_OPTIONS}
    assert {name for name, _, _ in WRONG_POOL_OPTIONS} == {*POOL_OPTIONS}


# What is wrong with the pool.


@pytest.mark.parametrize(("name", "value", "rule"), WRONG_POOL_OPTIONS)
def test_a_wrong_pool_option_gives_one_message(
    name: str, value: Any, rule: str
) -> None:
    assert conf.pool_problems("billing", database({name: value})) == [
        f'DATABASES["billing"]["OPTIONS"]["pool"]["{name}"] {rule}, not {value!r}.'
    ]


@pytest.mark.parametrize(("name", "value", "rule"), WRONG_POOL_OPTIONS)
def test_a_wrong_default_is_named_where_it_is_written(
    settings: Any, name: str, value: Any, rule: str
) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {name: value}

    assert conf.pool_problems("default", database(True)) == [
        f'SQLALCHEMY_QUEUEPOOL["{name}"] {rule}, not {value!r}.'
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pool_sise", "pool_size"),
        ("poolsize", "pool_size"),
        ("size", "pool_size"),
        ("POOL_SIZE", "pool_size"),
        ("max_overfow", "max_overflow"),
        ("overflow", "max_overflow"),
        ("pool_timeout", "timeout"),
        ("time_out", "timeout"),
        ("pool_recycle", "recycle"),
        ("lifo", "use_lifo"),
        ("max_wait", "max_waiting"),
        ("ping", "ping_after"),
        ("target", "queue_target"),
        ("interval", "queue_interval"),
    ],
)
def test_a_misspelt_pool_option_gets_the_nearest_name(written: str, meant: str) -> None:
    assert conf.pool_problems("default", database({written: 1})) == [
        (
            f'DATABASES["default"]["OPTIONS"]["pool"]["{written}"] is not an option of '
            f"pooled_db. Did you mean '{meant}'? {THE_POOL_OPTIONS}"
        )
    ]


@pytest.mark.parametrize("written", ["pre_ping", "logging_name", 7, None])
def test_an_unknown_pool_option_gets_the_list(written: Any) -> None:
    assert conf.pool_problems("default", database({written: 1})) == [
        (
            f'DATABASES["default"]["OPTIONS"]["pool"]["{written}"] is not an option of '
            f"pooled_db. {THE_POOL_OPTIONS}"
        )
    ]


@pytest.mark.parametrize("defaults", [None, True, [], "pool_size=3"])
def test_sqlalchemy_queuepool_is_a_dict(settings: Any, defaults: Any) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = defaults

    assert conf.pool_problems("default", {}) == [
        f"SQLALCHEMY_QUEUEPOOL must be a dict, not {defaults!r}."
    ]


@pytest.mark.parametrize("age", [60, None, -1, "0", 0.5])
def test_connections_have_no_other_age_than_the_pools(age: Any) -> None:
    assert conf.pool_problems("default", database(CONN_MAX_AGE=age)) == [
        (
            'DATABASES["default"]["CONN_MAX_AGE"] must be 0 with a pool, which keeps '
            f"the connections open itself, not {age!r}."
        )
    ]


def test_a_pools_option_beside_the_pool_is_named() -> None:
    """As a package makes it of mysql://.../shop?pool_size=20."""
    wrong = {**database(), "OPTIONS": {"pool_size": 20, "charset": "utf8mb4"}}

    assert conf.pool_problems("billing", wrong) == [
        (
            'DATABASES["billing"]["OPTIONS"]["pool_size"] is an option of the pool, '
            'and unknown to the driver. Write it into DATABASES["billing"]["OPTIONS"]'
            '["pool"].'
        )
    ]


@pytest.mark.parametrize("option", ["timeout", "echo", "reset", "hold"])
def test_what_a_derived_backend_may_take_is_left_to_it(option: str) -> None:
    assert conf.pool_problems("default", {"OPTIONS": {option: 3}}) == []


def test_everything_that_is_wrong_is_named_at_once(settings: Any) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {"recycle": "119", "pool_size": 0}
    wrong = database({"pool_sise": 3, "timeout": 0}, CONN_MAX_AGE=60)

    problems = conf.pool_problems("default", wrong)

    assert len(problems) == 5
    with pytest.raises(ImproperlyConfigured) as raised:
        conf.pool_settings("default", wrong)
    assert str(raised.value) == " ".join(problems)
    for name in ("recycle", "pool_size", "pool_sise", "timeout", "CONN_MAX_AGE"):
        assert f'["{name}"]' in str(raised.value)


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.lists(st.integers(), max_size=2)
)


@hypothesis_settings(derandomize=True, deadline=None)
@given(options=st.dictionaries(st.sampled_from(POOL_OPTIONS) | st.text(), values))
def test_an_option_is_taken_as_it_is_or_refused(options: dict[str, Any]) -> None:
    problems = conf.pool_problems("default", database(options))
    if problems:
        with pytest.raises(ImproperlyConfigured):
            conf.pool_settings("default", database(options))
        assert len(problems) <= len(options)
        return
    taken = dataclasses.asdict(conf.pool_settings("default", database(options)))
    assert {name: taken[name] for name in options} == options
    assert taken["pool_size"] + taken["max_overflow"] >= 1
    # A thread can wait for so long, which raises OverflowError if it cannot.
    assert threading.Lock().acquire(timeout=taken["timeout"])


# Changes while the process runs, as tests make them.


def test_changed_defaults_make_a_new_pool(settings: Any) -> None:
    before = pools.for_alias("default").gate.capacity
    settings.SQLALCHEMY_QUEUEPOOL = {"max_overflow": 3}

    assert pools.for_alias("default").gate.capacity == before + 3


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PoolSettings().pool_size = 11  # type: ignore[misc]


def test_what_is_no_dict_hides_nothing_else_that_is_wrong(settings: Any) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = 5
    options = {"pool": {"pool_size": 0}}
    problems = conf.pool_problems("default", {"OPTIONS": options})
    assert [problem.partition(" ")[0] for problem in problems] == [
        "SQLALCHEMY_QUEUEPOOL",
        'DATABASES["default"]["OPTIONS"]["pool"]["pool_size"]',
    ]


def test_each_option_is_told_with_where_it_is_written(settings: Any) -> None:
    settings.SQLALCHEMY_QUEUEPOOL = {"pool_size": 5, "timeout": 3}
    options = {"pool": {"timeout": 2}}
    assert conf.pool_origins("default", {"OPTIONS": options}) == {
        "pool_size": 'SQLALCHEMY_QUEUEPOOL["pool_size"]',
        "timeout": 'DATABASES["default"]["OPTIONS"]["pool"]["timeout"]',
    }
