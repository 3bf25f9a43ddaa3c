"""The 503: what clients get, and that it needs and tells nothing else."""

from __future__ import annotations

import json
import logging
import random
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from pooled_db import PoolTimeout, ServerUnavailable
from pooled_db.exceptions import Reason
from pooled_db.request import admission, responses
from pooled_db.request.language import Language
from pooled_db.request.refusals import RefusalLog
from pooled_db.request.responses import (
    SAFE_METHODS,
    Refusal,
    refuse,
    to_django,
)
from tests.documentation import DOCS, blocks

ENGLISH = Language("en-us")
HTML = "text/html"
JSON = "application/json"
BUILT_IN = "<h1>One moment, please</h1>"
BUSY = "The site is busy. Please try again in a moment."
DETAILS = {
    Reason.TIMEOUT: BUSY,
    Reason.QUEUE_FULL: BUSY,
    Reason.OVERLOADED: BUSY,
    Reason.STALLED: BUSY,
    Reason.UNAVAILABLE: (
        "The site cannot reach its database. Please try again in a moment."
    ),
    Reason.CONNECTION_LOST: (
        "The site lost its database while it worked on your request. Please check "
        "whether your last change was saved before you try again."
    ),
}

each_reason = pytest.mark.parametrize("reason", Reason, ids=str)


def answer(
    reason: Reason = Reason.TIMEOUT,
    *,
    method: str = "GET",
    accept: str = HTML,
    language: Language = ENGLISH,
    retry_after: int | None = None,
) -> Refusal:
    return refuse(
        reason,
        method=method,
        accept=accept,
        language=language,
        retry_after=retry_after,
    )


def templates(page: str | None = None, **options: Any) -> list[dict[str, Any]]:
    pages = {} if page is None else {"503.html": page}
    loaders = [("django.template.loaders.locmem.Loader", pages)]
    backend = "django.template.backends.django.DjangoTemplates"
    return [{"BACKEND": backend, "OPTIONS": {"loaders": loaders, **options}}]


@pytest.fixture(autouse=True)
def nothing_has_failed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_logged_failures", set())


# Headers.


@each_reason
@pytest.mark.parametrize("accept", [HTML, JSON])
def test_every_refusal_has_the_same_headers(reason: Reason, accept: str) -> None:
    refusal = answer(reason, accept=accept)

    assert refusal.status == 503
    assert refusal.headers == {
        "Content-Type": (
            "text/html; charset=utf-8" if accept == HTML else "application/problem+json"
        ),
        "Content-Language": "en",
        "Cache-Control": "no-store",
        "Vary": "Accept",
        "Content-Length": str(len(refusal.body)),
    }


@pytest.mark.parametrize("accept", [HTML, JSON])
def test_head_has_the_headers_of_get_and_no_body(accept: str) -> None:
    head, get = (answer(method=method, accept=accept) for method in ("HEAD", "GET"))

    assert head.headers == get.headers
    assert int(head.headers["Content-Length"]) == len(get.body) > 0
    assert head.body == b""


@pytest.mark.parametrize("seconds", [1, 2, 30])
def test_retry_after_is_spread_from_n_to_2n_seconds(
    seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "random", random.Random(0))

    waits = {
        int(answer(retry_after=seconds).headers["Retry-After"])
        for _ in range(50 * seconds)
    }

    assert waits <= set(range(seconds, 2 * seconds + 1))
    assert {seconds, 2 * seconds} <= waits


def test_without_a_time_there_is_no_retry_after() -> None:
    assert "Retry-After" not in answer(retry_after=None).headers


def test_safe_methods_are_those_of_http() -> None:
    assert {"GET", "HEAD", "OPTIONS", "TRACE"} == SAFE_METHODS


# What is said.


@each_reason
def test_json_is_a_problem_of_rfc_9457(reason: Reason) -> None:
    assert json.loads(answer(reason, accept=JSON).body) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": DETAILS[reason],
        "reason": str(reason),
    }


@each_reason
def test_the_built_in_page_says_what_to_do(reason: Reason) -> None:
    page = answer(reason).body.decode()

    assert page.startswith("<!doctype html>")
    assert BUILT_IN in page
    assert f"<p>{DETAILS[reason]}</p>" in page
    assert "{" not in page.partition("</style>")[2]


@each_reason
def test_the_documented_page_says_it(settings: Any, reason: Reason) -> None:
    (page,) = (
        block.text
        for block in blocks(DOCS / "how-to" / "your-503.md")
        if block.language == "html"
    )
    settings.TEMPLATES = templates(page)

    body = answer(reason).body.decode()

    assert f"<p>{DETAILS[reason]}</p>" in body
    assert ("/orders/" in body) is (reason is Reason.CONNECTION_LOST)


@each_reason
def test_the_projects_page_is_used(settings: Any, reason: Reason) -> None:
    settings.TEMPLATES = templates("<b>{{ reason }}</b> {{ detail }} ü")

    refusal = answer(reason)

    assert refusal.body.decode() == f"<b>{reason}</b> {DETAILS[reason]} ü"
    assert refusal.headers["Content-Length"] == str(len(refusal.body))


def test_what_a_test_of_the_project_changes_is_seen_at_once(settings: Any) -> None:
    """Though a page is rendered once a second."""
    for page in ("one", "another"):
        settings.TEMPLATES = templates(page)
        assert answer().body.decode() == page


def test_what_the_page_is_rendered_from_is_looked_at_again_after_a_second(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(responses, "time", clock)
    pages = {"503.html": "before"}
    loaders = [("django.template.loaders.locmem.Loader", pages)]
    settings.TEMPLATES = templates(loaders=loaders)
    sent = [answer().body]
    pages["503.html"] = "after"
    for _ in range(2):
        now[0] += 0.5
        sent.append(answer().body)
    assert sent == [b"before", b"before", b"after"]


def test_the_projects_page_may_be_empty(settings: Any) -> None:
    settings.TEMPLATES = templates("")

    assert answer().body == b""


def asks_the_database(request: HttpRequest) -> dict[str, Any]:
    raise AssertionError("a context processor was called")


def test_the_projects_page_gets_no_request(settings: Any) -> None:
    settings.TEMPLATES = templates(
        "[{{ request }}{{ user }}]",
        context_processors=[f"{__name__}.asks_the_database"],
    )

    assert answer().body == b"[]"


@pytest.mark.parametrize("setting", [[], templates()], ids=["no engine", "no page"])
def test_without_a_page_of_the_project_the_built_in_is_sent_and_nothing_logged(
    settings: Any, caplog: pytest.LogCaptureFixture, setting: list[dict[str, Any]]
) -> None:
    settings.TEMPLATES = setting

    assert BUILT_IN in answer().body.decode()
    assert caplog.records == []


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(templates("{% nonsense %}"), id="syntax"),
        pytest.param(templates("{% url 'nowhere' %}"), id="rendering"),
        pytest.param(templates("{% extends 'gone.html' %}"), id="no parent"),
        pytest.param(templates("{% include 'gone.html' %}"), id="no part"),
        pytest.param(templates("\ud800"), id="not UTF-8"),
        pytest.param([{"BACKEND": "no.such.Backend"}], id="no backend"),
        pytest.param(templates(loaders=["no.such.Loader"]), id="no loader"),
    ],
)
def test_a_broken_page_gives_way_to_the_built_in_and_is_logged_once(
    settings: Any, caplog: pytest.LogCaptureFixture, setting: list[dict[str, Any]]
) -> None:
    settings.TEMPLATES = setting

    for _ in range(3):
        responses._html.cache_clear()  # as it is once a second
        assert BUILT_IN in answer().body.decode()

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pooled_db", logging.ERROR)
    assert "503.html" in record.getMessage()
    assert record.exc_info is not None


def test_json_needs_no_page(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.TEMPLATES = templates("{% nonsense %}")

    assert json.loads(answer(accept=JSON).body)["status"] == 503
    assert caplog.records == []


# In Django.


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("accept", [HTML, JSON])
def test_django_gets_the_same_answer(method: str, accept: str) -> None:
    refusal = answer(Reason.QUEUE_FULL, method=method, accept=accept, retry_after=3)

    response = to_django(refusal)

    assert response.status_code == refusal.status
    assert response.content == refusal.body
    assert dict(response.items()) == refusal.headers


SECRETS = ("db.internal", "shop_user", "hunter2", "SELECT")
TELLTALE = (
    "Can't connect to server on 'db.internal' for 'shop_user' with 'hunter2': SELECT 1"
)


def lose_the_server(request: HttpRequest) -> HttpResponse:
    error = ServerUnavailable(2003, TELLTALE)
    error.alias = "billing"
    raise error


def wait_too_long(request: HttpRequest) -> HttpResponse:
    try:
        raise ValueError(TELLTALE)
    except ValueError as error:
        raise PoolTimeout("billing", Reason.TIMEOUT, 5.0, 10, 10, 3) from error


urlpatterns = [
    path("unavailable", lose_the_server),
    path("timeout", wait_too_long),
]


@pytest.fixture
def refused(settings: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(admission, "refusal_log", RefusalLog())
    settings.ROOT_URLCONF = __name__
    settings.POOLED_DB = {"CHECKOUT": "query"}
    return client


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("accept", [HTML, JSON])
@pytest.mark.parametrize(
    ("url", "reason"),
    [("/unavailable", Reason.UNAVAILABLE), ("/timeout", Reason.TIMEOUT)],
)
def test_clients_learn_nothing_of_the_database(
    refused: Client,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    debug: bool,
    accept: str,
    url: str,
    reason: Reason,
) -> None:
    settings.DEBUG = debug

    response = refused.get(url, headers={"Accept": accept})

    assert response.status_code == 503
    if debug and accept == HTML:
        assert "What to do" in response.content.decode()
    else:
        assert response.content == answer(reason, accept=accept).body
    assert [record.name for record in caplog.records] == ["pooled_db"]
    told = f"{response.headers} {caplog.text} {response.content.decode()}"
    assert not [secret for secret in SECRETS if secret in told]


def test_django_does_not_log_a_refusal_again(
    refused: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert refused.get("/unavailable").status_code == 503

    assert [record.name for record in caplog.records] == ["pooled_db"]


def test_who_says_nothing_of_what_he_accepts_gets_html(refused: Client) -> None:
    assert refused.get("/timeout")["Content-Type"] == "text/html; charset=utf-8"
