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
    ("CLIENT", False, CLIENT),
    ("PRIORITY", "^pay/", PATTERNS),
    ("PRIORITY", None, PATTERNS),
    ("PRIORITY_SHARE", 1, SHARE),
    ("PRIORITY_SHARE", -0.1, SHARE),
    ("PRIORITY_SHARE", "0.5", SHARE),
    ("PRIORITY_SHARE", True, SHARE),
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


def made_by_function(path: str, origin: str | None) -> dict[str, str]:
    return {"Access-Control-Allow-Origin": origin or "*", "X-Path": path}


NOT_CALLABLE = 7


def test_headers_may_come_from_a_function_by_its_path(settings: Any) -> None:
    settings.POOLED_DB = {"HEADERS": f"{__name__}.made_by_function"}

    assert conf.middleware_problems() == []
    assert conf.middleware_settings().headers is made_by_function


def tenant(headers: dict[str, str]) -> str:
    return headers["X-Tenant"]


def test_clients_may_be_told_apart_by_a_function(settings: Any) -> None:
    settings.POOLED_DB = {"CLIENT": f"{__name__}.tenant"}

    assert conf.middleware_problems() == []
    assert conf.middleware_settings().client is tenant


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ("X Real IP", "has 'X Real IP', which is no name of a header."),
        (
            "nowhere.at_all",
            (
                "names 'nowhere.at_all', which cannot be imported: No module named "
                "'nowhere'."
            ),
        ),
    ],
)
def test_a_wrong_client_is_named(settings: Any, client: str, problem: str) -> None:
    settings.POOLED_DB = {"CLIENT": client}

    assert conf.middleware_problems() == [f'POOLED_DB["CLIENT"] {problem}']


@pytest.mark.parametrize(
    ("name", "value", "written", "sent"),
    [
        ("CLIENT", "HTTP_X_REAL_IP", "HTTP_X_REAL_IP", "X-Real-Ip"),
        ("CLIENT", "X_Real_IP", "X_Real_IP", "X-Real-Ip"),
        (
            "CLIENT",
            ("HTTP_X_FORWARDED_FOR", 1),
            "HTTP_X_FORWARDED_FOR",
            "X-Forwarded-For",
        ),
        (
            "REQUEST_START_HEADER",
            "HTTP_X_REQUEST_START",
            "HTTP_X_REQUEST_START",
            "X-Request-Start",
        ),
    ],
)
def test_a_name_of_djangos_meta_is_none_of_a_header(
    settings: Any, name: str, value: Any, written: str, sent: str
) -> None:
    settings.POOLED_DB = {name: value}

    assert conf.middleware_problems() == [
        f'POOLED_DB["{name}"] has {written!r}: write {sent!r}, as the header is sent.'
    ]


@pytest.mark.parametrize("client", ["REMOTE_ADDR", ("REMOTE_ADDR", 1)])
def test_only_the_address_has_the_name_that_django_gives_it(
    settings: Any, client: Any
) -> None:
    settings.POOLED_DB = {"CLIENT": client}

    assert conf.middleware_problems() == []


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"X Frame": "DENY"}, "has 'X Frame' in it, which is no name of a header."),
        ({7: "DENY"}, "has 7 in it, which is no name of a header."),
        ({"X-A": "a\r\nb"}, "has 'a\\r\\nb' for X-A, which a header cannot hold."),
        ({"X-A": "\u20ac"}, "has '\u20ac' for X-A, which a header cannot hold."),
        ({"X-A": 1}, "has 1 for X-A, which a header cannot hold."),
        (
            "nowhere.at_all",
            (
                "names 'nowhere.at_all', which cannot be imported: No module named "
                "'nowhere'."
            ),
        ),
        (
            f"{__name__}.NOT_CALLABLE",
            f"names '{__name__}.NOT_CALLABLE', which is no function but 7.",
        ),
    ],
)
def test_wrong_headers_are_named(settings: Any, headers: Any, problem: str) -> None:
    settings.POOLED_DB = {"HEADERS": headers}

    assert conf.middleware_problems() == [f'POOLED_DB["HEADERS"] {problem}']


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
    ("path", "exempt"),
    [
        ("/healthz", True),
        ("/healthz/", False),
        ("/static/site.css", True),
        ("/shop/static/site.css", False),
        ("/", False),
        ("", False),
    ],
)
def test_exempt_paths_match_without_their_leading_slash(
    path: str, exempt: bool
) -> None:
    settings = MiddlewareSettings(exempt=(r"^healthz$", r"^static/"))

    assert settings.is_exempt(path) is exempt


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
