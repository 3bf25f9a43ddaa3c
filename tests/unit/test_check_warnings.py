"""Checks: what works, and is not what somebody has meant."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Warning
from django.db import connections

from pooled_db import conf
from tests.checking import (
    changes,
    messages,
)

# W004: the options of other packages.

OTHERS = {"POOL_SIZE": 10, "MAX_OVERFLOW": 10}


def test_another_packages_pool_options_are_pointed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes(monkeypatch, POOL_OPTIONS=OTHERS)

    assert messages() == [
        Warning(
            'DATABASES["default"]["POOL_OPTIONS"] has no effect: it is another '
            "package's.",
            hint=(
                "Write the options, in lower case, into "
                'DATABASES[...]["OPTIONS"]["pool"] or SQLALCHEMY_QUEUEPOOL.'
            ),
            id="pooled_db.W004",
        )
    ]


def test_pool_options_as_a_setting_of_its_own_are_too(settings: Any) -> None:
    settings.POOL_OPTIONS = OTHERS

    (message,) = messages()

    assert message.id == "pooled_db.W004"
    assert message.msg.startswith("The setting POOL_OPTIONS has no effect")


# W005: Django's own health checks.


def test_health_checks_that_do_nothing_are_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes(monkeypatch, CONN_HEALTH_CHECKS=True)

    assert messages() == [
        Warning(
            'DATABASES["default"]["CONN_HEALTH_CHECKS"] has no effect: the pool looks '
            "at each connection before it lends it, without asking the server.",
            hint=(
                'Remove it. To ping connections that were idle, set "ping_after" in '
                'DATABASES["default"]["OPTIONS"]["pool"].'
            ),
            id="pooled_db.W005",
        )
    ]


def test_what_an_alias_without_a_pool_does_is_its_own_affair(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    for database in list(connections.settings.values()):
        monkeypatch.setitem(database, "OPTIONS", {"pool": False})
        monkeypatch.setitem(database, "CONN_HEALTH_CHECKS", True)
        monkeypatch.setitem(database, "POOL_OPTIONS", OTHERS)
    settings.POOL_OPTIONS = OTHERS
    settings.MIDDLEWARE = []

    assert messages() == []


# E002 and W006: paths that never queue.


@pytest.mark.parametrize(
    ("pattern", "beginning", "better"),
    [
        ("^/healthz$", "^/", "^healthz$"),
        (r"\A/static/", r"\A/", r"\Astatic/"),
        (r"^\/static\/", r"^\/", r"^static\/"),
        ("(?i)^/static/", "(?i)^/", "(?i)^static/"),
        ("(^/static/|^media/)", "(^/", "(^static/|^media/)"),
        ("(?:^/static/)", "(?:^/", "(?:^static/)"),
        ("^(/static|media)/", "^(/", "^(static|media)/"),
    ],
)
def test_a_pattern_that_wants_a_leading_slash_never_matches(
    settings: Any, pattern: str, beginning: str, better: str
) -> None:
    settings.POOLED_DB = {"EXEMPT": [r"^metrics$", pattern]}

    assert messages() == [
        Warning(
            f'POOLED_DB["EXEMPT"] has {pattern!r} in it, whose {beginning!r} matches '
            "nothing: a path is matched without its leading slash.",
            hint=f"Write {better!r}.",
            id="pooled_db.W006",
        )
    ]
    assert not conf.MiddlewareSettings(exempt=(pattern,)).is_exempt("/static/healthz$")
    for path in ("/healthz", "/static/a"):
        if conf.MiddlewareSettings(exempt=(better,)).is_exempt(path):
            assert not conf.MiddlewareSettings(exempt=(pattern,)).is_exempt(path)
            break
    else:
        raise AssertionError("the better pattern matches nothing either")


def test_a_path_of_priority_is_matched_without_it_too(settings: Any) -> None:
    settings.POOLED_DB = {"PRIORITY": ["^pay/", "^/login/"]}

    (message,) = messages()

    assert message.id == "pooled_db.W006"
    assert message.msg.startswith("POOLED_DB[\"PRIORITY\"] has '^/login/' in it")
    assert message.hint == "Write '^login/'."


@pytest.mark.parametrize(
    "pattern",
    [
        "^healthz$",
        "^static/",
        "/static/",
        "^/?healthz$",
        "^/*static/",
        r"\^/",
        "^/{0,1}a",
    ],
)
def test_a_pattern_that_may_match_is_right(settings: Any, pattern: str) -> None:
    settings.POOLED_DB = {"EXEMPT": [pattern]}

    assert messages() == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("^(healthz", "missing ), unterminated subpattern at position 1"),
        ("*.png", "nothing to repeat at position 0"),
        ("a{99999999999999999999}", "the repetition number is too large"),
        ("[a", "unterminated character set at position 0"),
    ],
)
def test_a_pattern_that_is_none_is_named_with_what_is_wrong(
    settings: Any, pattern: str, why: str
) -> None:
    settings.POOLED_DB = {"EXEMPT": ["^static/", pattern]}

    (message,) = messages()

    assert message.id == "pooled_db.E002"
    assert message.msg == (
        f'POOLED_DB["EXEMPT"] has {pattern!r} in it, which is no regular expression: '
        f"{why}."
    )
