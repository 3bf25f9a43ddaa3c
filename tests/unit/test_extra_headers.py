"""Headers of the project's own on refusals: POOLED_DB["HEADERS"]."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from pooled_db.request import extra_headers
from pooled_db.request.extra_headers import add_headers


def with_headers(extra: Any, **own: str) -> dict[str, str]:
    headers = {name.replace("_", "-"): value for name, value in own.items()}
    incoming: Any = SimpleNamespace(
        path="/orders", header={"origin": "https://shop.example"}.get
    )
    add_headers(headers, extra, incoming)
    return headers


@pytest.mark.parametrize("name", ["Vary", "vary"])
def test_what_it_varies_by_is_joined(name: str) -> None:
    headers = with_headers({name: "Origin"}, Vary="Accept")
    assert headers == {"Vary": "Accept, Origin"}


def test_what_a_refusal_says_itself_stays() -> None:
    headers = with_headers(
        {"cache-control": "max-age=9", "X-Frame-Options": "DENY"},
        Cache_Control="no-store",
    )
    assert headers == {"Cache-Control": "no-store", "X-Frame-Options": "DENY"}


def test_a_function_is_told_the_path_and_the_origin() -> None:
    headers = with_headers(lambda path, origin: {"X-Of": f"{path} {origin}"})
    assert headers == {"X-Of": "/orders https://shop.example"}


def test_a_function_that_fails_is_logged_once_and_adds_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra_headers, "_logged_failures", set())

    def fail(path: str, origin: str | None) -> dict[str, str]:
        raise KeyError(path)

    for wrong in (
        *(fail, fail),
        lambda path, origin: {"X-Of": 7},
        lambda path, origin: ["X-Of"],
    ):
        with caplog.at_level(logging.ERROR, "pooled_db"):
            assert with_headers(wrong, Vary="Accept") == {"Vary": "Accept"}
    assert len(caplog.records) == 3
    assert "it raised KeyError" in caplog.text
    assert "KeyError: '/orders'" in caplog.text  # the last line of its traceback
    assert not caplog.records[1].exc_info
    assert "what it returned has 7 for X-Of" in caplog.text
    assert "what it returned must be a dict, not ['X-Of']" in caplog.text
