"""What is told of a refused request: to receivers, and to the developer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from pooled_db import signals
from pooled_db.exceptions import Holder, PoolTimeout, Reason
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.request.debug_page import ADVICE
from pooled_db.request.scope import Scope


def refused(reason: Reason = Reason.TIMEOUT) -> PoolTimeout:
    holder = Holder("GET /report (shop.<views>.report)", 12.0, None, None)
    return PoolTimeout("default", reason, 5.0, 4, 4, 7, (), (holder,))


def answer(rf: RequestFactory, accept: str = "text/html", method: str = "GET") -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        raise AssertionError("it is refused")

    middleware = PooledConnectionMiddleware(view)
    request = rf.generic(method, "/buy?card=4711", HTTP_ACCEPT=accept)
    return middleware._refuse(request, Scope(), refused())


def test_every_reason_has_advice() -> None:
    assert {*ADVICE} == {*Reason}


def test_a_developer_sees_who_holds_the_connections_and_what_to_do(
    rf: RequestFactory, settings: Any
) -> None:
    settings.DEBUG = True
    response = answer(rf)
    page = response.content.decode()
    assert response.status_code == 503
    assert "<title>503: timeout</title>" in page
    assert "<h1>503: timeout</h1>" in page
    assert "shop.&lt;views&gt;.report) for 12.0 s, at work" in page
    assert "<h2>Others hold</h2>\n<ul><li>GET /report (shop.&lt;views&gt;" in page
    assert "<h2>This request holds" not in page
    assert "4 of 4 in use, 7 waiting" in page
    assert "<h2>Settings of the pool of <code>default</code></h2>" in page
    assert "<th>pool_size</th><td>4</td>" in page
    assert "Find out why" in page
    assert response.headers["Content-Length"] == str(len(response.content))
    assert "PASSWORD" not in page
    assert "card" not in page


def test_a_head_request_gets_the_page_without_its_body(
    rf: RequestFactory, settings: Any
) -> None:
    settings.DEBUG = True
    response = answer(rf, method="HEAD")
    assert (response.status_code, response.content) == (503, b"")


def test_everybody_else_sees_what_they_saw(rf: RequestFactory, settings: Any) -> None:
    settings.DEBUG = False
    page = answer(rf).content.decode()
    assert "One moment, please" in page
    assert "report" not in page
    settings.DEBUG = True
    assert json.loads(answer(rf, "application/json").content)["reason"] == "timeout"


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    said: list[dict[str, Any]] = []

    def fails(**kwargs: Any) -> None:
        raise ValueError("a receiver's own mistake")

    def receive(**kwargs: Any) -> None:
        said.append(kwargs)

    signals.request_refused.connect(fails)
    signals.request_refused.connect(receive)
    yield said
    signals.request_refused.disconnect(fails)
    signals.request_refused.disconnect(receive)


def test_a_refusal_is_told_and_a_receiver_that_fails_harms_nothing(
    rf: RequestFactory, told: list[dict[str, Any]]
) -> None:
    assert answer(rf).status_code == 503
    (one,) = told
    assert (one["alias"], one["reason"], one["method"], one["path"]) == (
        *("default", "timeout", "GET", "/buy"),
    )
    assert isinstance(one["error"], PoolTimeout)


def test_a_signal_that_cannot_be_sent_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one with an asynchronous receiver, on the event loop itself."""

    def fail(**kwargs: Any) -> None:
        raise RuntimeError("You cannot use AsyncToSync in this thread")

    signal = signals.connection_opened
    monkeypatch.setattr(signal, "send_robust", fail)
    signals.send(signal)
    assert caplog.records == []
    signal.connect(fail)
    signals.send(signal)
    signal.disconnect(fail)
    assert "A receiver of a signal has failed" in caplog.text
