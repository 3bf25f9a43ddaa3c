"""Settings of the middleware: right ones are taken as they are, wrong ones named."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from pooled_db import conf, pools
from pooled_db.conf import MiddlewareSettings

POSITIVE_INTEGER = "must be an integer of at least 1 and below 1,000,000,000"
PATTERNS = "must be a list of regular expressions, each a string"
ALIASES = "must be a list of aliases of DATABASES, or None"
CLIENT = (
    'must be "REMOTE_ADDR", the name of a header, (the name, how many proxies to '
    "trust), a function of the headers, or None"
)
SHARE = "must be a number from 0 on and below 1"
HEADERS = "must be a dict of headers, a function of path and origin, or None"
DIRECTORY = "must be the absolute path of a directory, or None to switch it off"
HEADER = 'must be the name of a header, such as "X-Request-Start", or None'

OPTIONS = [option.name.upper() for option in dataclasses.fields(MiddlewareSettings)]
THE_OPTIONS = f"The options are {', '.join(OPTIONS)}."

WRONG: list[tuple[str, Any, str]] = [
    ("CHECKOUT", "connection", 'must be "request" or "query"'),
    ("CHECKOUT", "REQUEST", 'must be "request" or "query"'),
    ("CHECKOUT", True, 'must be "request" or "query"'),
    ("CHECKOUT", None, 'must be "request" or "query"'),
    ("EXEMPT", "^healthz$", PATTERNS),
    ("EXEMPT", ["^ok$", 1], PATTERNS),
    ("EXEMPT", [re.compile("^compiled$")], PATTERNS),
    ("EXEMPT", None, PATTERNS),
    ("ALIASES", "default", ALIASES),
    ("ALIASES", ["defualt"], ALIASES),
    ("ALIASES", ["default", "nowhere"], ALIASES),
    ("ALIASES", [["default"]], ALIASES),
    ("ALIASES", {"default"}, ALIASES),
    ("RETRY_AFTER", 0, POSITIVE_INTEGER),
    ("RETRY_AFTER", 1.5, POSITIVE_INTEGER),
    ("RETRY_AFTER", "2", POSITIVE_INTEGER),
    ("RETRY_AFTER", None, POSITIVE_INTEGER),
    ("RETRY_AFTER", True, POSITIVE_INTEGER),
    ("REQUEST_START_HEADER", "", HEADER),
    ("REQUEST_START_HEADER", "X Request Start", HEADER),
    ("REQUEST_START_HEADER", "X-Request-Start:", HEADER),
    ("REQUEST_START_HEADER", "X-Request-Start\n", HEADER),
    ("REQUEST_START_HEADER", ["X-Request-Start"], HEADER),
    ("REQUEST_START_HEADER", True, HEADER),
    ("STATE_DIR", "", DIRECTORY),
    ("STATE_DIR", "pools", DIRECTORY),
    ("STATE_DIR", "/pools\0", DIRECTORY),
    ("STATE_DIR", True, DIRECTORY),
    ("DOOR", None, "must be True or False"),
    ("DOOR", "off", "must be True or False"),
    ("DOOR", 1, "must be True or False"),
    ("HEADERS", True, HEADERS),
    ("HEADERS", [("X-Frame-Options", "DENY")], HEADERS),
    ("HEADERS", 7, HEADERS),
    ("CLIENT", 7, CLIENT),
    ("CLIENT", "", CLIENT),
    ("CLIENT", ("X-Forwarded-For",), CLIENT),
    ("CLIENT", ("X-Forwarded-For", 0), CLIENT),
    ("CLIENT", ("X-Forwarded-For", True), CLIENT),
    ("CLIENT", ("X Forwarded For", 1), CLIENT),
    ("CLIENT", (7, 1), CLIENT),
    ("CLIENT", False, CLIENT),
    ("PRIORITY", "^pay/", PATTERNS),
    ("PRIORITY", None, PATTERNS),
    ("PRIORITY_SHARE", 1, SHARE),
    ("PRIORITY_SHARE", -0.1, SHARE),
    ("PRIORITY_SHARE", "0.5", SHARE),
    ("PRIORITY_SHARE", True, SHARE),
    ("PRIORITY_SHARE", False, SHARE),
]


def test_every_option_has_a_wrong_value_here() -> None:
    assert {name for name, _, _ in WRONG} == {*OPTIONS}


def test_the_middleware_has_defaults(settings: Any) -> None:
    settings.POOLED_DB = {}  # only setting it tells Django's listeners
    del settings.POOLED_DB

    assert conf.middleware_settings() == MiddlewareSettings(
        checkout="request",
        exempt=(),
        aliases=None,
        retry_after=2,
        request_start_header=None,
        door=True,
        headers=None,
        state_dir="",
        client="REMOTE_ADDR",
        priority=(),
        priority_share=0.25,
    )


def test_right_middleware_options_are_taken_as_they_are(
    settings: Any,
) -> None:
    settings.POOLED_DB = {
        "CHECKOUT": "query",
        "EXEMPT": [r"^healthz$", r"^static/"],
        "ALIASES": ("other", "default"),
        "RETRY_AFTER": 30,
        "REQUEST_START_HEADER": "X-Request-Start",
        "DOOR": False,
        "HEADERS": {"X-Frame-Options": "DENY"},
        "CLIENT": ("X-Forwarded-For", 2),
        "PRIORITY": [r"^pay/"],
        "PRIORITY_SHARE": 0.5,
    }

    assert conf.middleware_problems() == []
    assert conf.middleware_settings() == MiddlewareSettings(
        checkout="query",
        exempt=(r"^healthz$", r"^static/"),
        aliases=("other", "default"),
        retry_after=30,
        request_start_header="X-Request-Start",
        door=False,
        headers={"X-Frame-Options": "DENY"},
        client=("X-Forwarded-For", 2),
        priority=(r"^pay/",),
        priority_share=0.5,
    )


RIGHT: list[tuple[str, Any]] = [
    ("CHECKOUT", "request"),
    ("EXEMPT", ()),
    ("ALIASES", None),
    ("ALIASES", []),
    ("RETRY_AFTER", 1),
    ("REQUEST_START_HEADER", None),
    ("DOOR", True),
    ("CLIENT", None),
    ("CLIENT", dict),
    ("CLIENT", "REMOTE_ADDR"),
    ("CLIENT", "X-Real-IP"),
    ("CLIENT", ["X-Forwarded-For", 1]),
    ("CLIENT", ("X.Forwarded.For", 1)),  # beside a number it is no function
    ("PRIORITY", []),
    ("PRIORITY_SHARE", 0),
    ("PRIORITY_SHARE", 0.999),
    ("HEADERS", None),
    ("HEADERS", dict),
    ("HEADERS", {}),
    ("STATE_DIR", None),
    ("STATE_DIR", "/run/shop"),
    ("STATE_DIR", Path("/run/shop")),
]


def test_every_option_has_a_right_value_here() -> None:
    assert {name for name, _ in RIGHT} == {*OPTIONS}


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_what_is_documented_may_be_written(
    settings: Any, name: str, value: Any
) -> None:
    settings.POOLED_DB = {name: value}

    assert conf.middleware_problems() == []
    taken = getattr(conf.middleware_settings(), name.lower())
    assert taken == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(("name", "value", "rule"), WRONG)
def test_a_wrong_middleware_option_gives_one_message(
    settings: Any, name: str, value: Any, rule: str
) -> None:
    settings.POOLED_DB = {name: value}

    message = f'POOLED_DB["{name}"] {rule}, not {value!r}.'
    assert conf.middleware_problems() == [message]
    with pytest.raises(ImproperlyConfigured) as raised:
        conf.middleware_settings()
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("checkout", "CHECKOUT"),
        ("CHECK_OUT", "CHECKOUT"),
        ("EXEMPTIONS", "EXEMPT"),
        ("exempt", "EXEMPT"),
        ("ALIAS", "ALIASES"),
        ("RETRY-AFTER", "RETRY_AFTER"),
    ],
)
def test_a_misspelt_middleware_option_gets_the_nearest_name(
    settings: Any, written: str, meant: str
) -> None:
    settings.POOLED_DB = {written: "request"}

    assert conf.middleware_problems() == [
        (
            f'POOLED_DB["{written}"] is not an option of pooled_db. '
            f"Did you mean '{meant}'? {THE_OPTIONS}"
        )
    ]


@pytest.mark.parametrize("written", ["SHEDDING", 7])
def test_an_unknown_middleware_option_gets_the_list(
    settings: Any, written: Any
) -> None:
    settings.POOLED_DB = {written: 1}

    assert conf.middleware_problems() == [
        (f'POOLED_DB["{written}"] is not an option of pooled_db. {THE_OPTIONS}')
    ]


@pytest.mark.parametrize("options", [None, True, [], "CHECKOUT=query"])
def test_the_middlewares_settings_are_a_dict(settings: Any, options: Any) -> None:
    settings.POOLED_DB = options

    assert conf.middleware_problems() == [f"POOLED_DB must be a dict, not {options!r}."]


def test_all_wrong_middleware_options_are_named_at_once(
    settings: Any,
) -> None:
    settings.POOLED_DB = {name: value for name, value, _ in WRONG}

    problems = conf.middleware_problems()

    assert len(problems) == len(OPTIONS)
    with pytest.raises(ImproperlyConfigured) as raised:
        conf.middleware_settings()
    assert str(raised.value) == " ".join(problems)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/healthz", True),
        ("/healthz/", False),
        ("/static/site.css", True),
        ("/shop/static/site.css", False),
        ("/", False),
        ("", False),
    ],
)
def test_paths_match_any_of_the_patterns_without_their_leading_slash(
    path: str, is_one: bool
) -> None:
    patterns = (r"^healthz$", r"^static/")

    assert MiddlewareSettings(exempt=patterns).is_exempt(path) is is_one
    assert MiddlewareSettings(priority=patterns).has_priority(path) is is_one


# Changes while the process runs, as tests make them.


def test_a_changed_middleware_setting_takes_effect(settings: Any) -> None:
    for retry_after in (3, 4):
        settings.POOLED_DB = {"RETRY_AFTER": retry_after}
        assert conf.middleware_settings().retry_after == retry_after


def test_middleware_settings_are_read_once() -> None:
    assert conf.middleware_settings() is conf.middleware_settings()


def test_a_mistake_is_not_remembered(settings: Any) -> None:
    settings.POOLED_DB = {"RETRY_AFTER": 0}
    with pytest.raises(ImproperlyConfigured):
        conf.middleware_settings()
    settings.POOLED_DB = {}

    assert conf.middleware_settings() == MiddlewareSettings()


def test_a_share_for_priority_is_kept_in_the_pools_that_there_are(
    settings: Any,
) -> None:
    gate = pools.for_alias("default").gate
    settings.POOLED_DB = {"PRIORITY": ["^pay/"], "PRIORITY_SHARE": 0.5}
    assert (gate.capacity, gate.reserved) == (4, 2)
    settings.POOLED_DB = {"PRIORITY": "wrong"}  # which the checks say
    assert gate.reserved == 2
    settings.POOLED_DB = {}
    assert gate.reserved == 0
