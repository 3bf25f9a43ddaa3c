"""Whose connections a request takes at its start: POOLED_DB["ALIASES"]."""

from __future__ import annotations

from typing import Any

import pytest

from pooled_db.request.admission import Admission


def taken(path: str = "/page") -> list[str]:
    return [pool.alias for pool in Admission().pools_for(path)]


@pytest.mark.parametrize(
    ("wanted", "aliases"),
    [
        (["default"], ["default"]),
        (["other"], ["other"]),
        # In the order of DATABASES: two requests cannot hold what the other waits for.
        (["default", "other"], ["default", "other"]),
        (["other", "default"], ["default", "other"]),
    ],
)
def test_the_aliases_that_are_named_are_taken_in_one_order(
    settings: Any, wanted: list[str], aliases: list[str]
) -> None:
    settings.POOLED_DB = {"ALIASES": wanted}
    assert taken() == aliases


def test_without_aliases_it_is_the_default(settings: Any) -> None:
    settings.POOLED_DB = {}
    assert taken() == ["default"]


def test_nothing_is_taken_before_the_first_query_if_told_so(settings: Any) -> None:
    settings.POOLED_DB = {"CHECKOUT": "query", "ALIASES": ["default", "other"]}
    assert taken() == []


def test_nothing_is_taken_for_exempt_paths(settings: Any) -> None:
    settings.POOLED_DB = {"EXEMPT": ["^health$"], "ALIASES": ["default", "other"]}
    assert taken("/health") == []
    assert taken("/healthy") == ["default", "other"]
