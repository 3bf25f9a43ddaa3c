"""Whose connections a request takes at its start, and what is told of a refusal."""

from __future__ import annotations

from typing import Any

import MySQLdb
import pytest
from django.test import RequestFactory

from pooled_db import ServerUnavailable, pools
from pooled_db.driver.errors import mark_pooled
from pooled_db.request import admission
from pooled_db.request.admission import Admission
from pooled_db.request.incoming import FromDjango
from pooled_db.request.refusals import RefusalLog
from pooled_db.request.scope import Scope


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


# What is logged and counted of a refusal.


def lost(code: int, text: str) -> MySQLdb.OperationalError:
    error = MySQLdb.OperationalError(code, text)
    mark_pooled(error, "default")
    return error


def unavailable(code: int, why: str | None = None) -> ServerUnavailable:
    error = ServerUnavailable(code, "of the server")
    error.alias = "default"
    if why is not None:
        error.why = why
    return error


@pytest.mark.parametrize(
    ("error", "line", "is_lost"),
    [
        (
            unavailable(1040),
            (
                "no connection to 'default': the server has too many connections "
                "(error 1040)."
            ),
            False,
        ),
        (
            unavailable(0, "the node did not pass check_on_connect"),
            (
                "no connection to 'default': the node did not pass check_on_connect "
                "(error 0)."
            ),
            False,
        ),
        (
            lost(1927, "Connection was killed"),
            "lost 'default': the connection was killed (error 1927).",
            True,
        ),
        (
            lost(1290, "The server is running with the --read-only option"),
            "cannot use 'default': the server is read-only (error 1290).",
            False,
        ),
    ],
    ids=str,
)
def test_a_refusal_is_logged_as_documented_and_counted_if_it_lost_its_connection(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rf: RequestFactory,
    error: Exception,
    line: str,
    is_lost: bool,
) -> None:
    monkeypatch.setattr(admission, "refusal_log", RefusalLog())
    pool = pools.for_alias("default")

    Admission().refuse(Scope(), error, FromDjango(rf.get("/page")))

    assert caplog.records[-1].getMessage().endswith(f"The latest: {line}")
    assert pool.stats().refused_by.get("connection_lost", 0) == is_lost


def test_refusals_of_one_alias_do_not_silence_those_of_another(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rf: RequestFactory,
) -> None:
    monkeypatch.setattr(admission, "refusal_log", RefusalLog())
    for alias in ("default", "default", "other"):
        error = unavailable(1040)
        error.alias = alias
        Admission().refuse(Scope(), error, FromDjango(rf.get("/page")))
    first, second = (record.getMessage() for record in caplog.records)
    assert "no connection to 'default'" in first
    assert "no connection to 'other'" in second
