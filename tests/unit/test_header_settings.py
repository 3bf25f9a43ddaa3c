"""The middleware's settings that name headers, or functions, looked at more closely."""

from __future__ import annotations

from typing import Any

import pytest

from pooled_db import conf


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
