"""The parts of the dashboard that need no server."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.core.checks.registry import registry
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import include, path

from pooled_db.dashboard import access, checks, snapshot, views

View = Callable[[HttpRequest], HttpResponse]


@pytest.mark.parametrize(
    ("label", "page", "view"),
    [
        ("GET /buy/<int:id> (shop.views.buy)", "GET /buy/<int:id>", "shop.views.buy"),
        ("GET /buy/<int:id> (shop.views.b", "GET /buy/<int:id>", "shop.views.b"),
        ("POST /early", "POST /early", ""),
        ("taken at shop.py:3 in f, by thread 'x'", None, ""),
        ("", snapshot.NOT_USED_YET, ""),
    ],
)
def test_a_holder_is_taken_apart(label: str, page: str | None, view: str) -> None:
    assert snapshot._page_and_view(label) == (page or label, view)


def test_the_page_with_the_most_connections_comes_first() -> None:
    def loan(page: str, state: str, lent: float) -> dict[str, Any]:
        return {"page": page, "view": page[1:], "state": state, "lent": lent}

    holders = snapshot._holders(
        [
            loan("/slow", "at work", 9.0),
            loan("/often", "at work", 0.1),
            loan("/often", "at rest", 0.3),
            loan("/slower", "ready", 10.0),
        ]
    )

    assert [
        (one["page"], one["at_work"], one["others"], one["longest"]) for one in holders
    ] == [("/often", 1, 1, 0.3), ("/slower", 0, 1, 10.0), ("/slow", 1, 0, 9.0)]
    assert [one["view"] for one in holders] == ["often", "slower", "slow"]


def test_without_a_directory_it_says_what_is_wrong(
    settings: Any, tmp_path: Path
) -> None:
    settings.POOLED_DB = {"STATE_DIR": None}
    assert 'POOLED_DB["STATE_DIR"] is None' in snapshot.snapshot()["problem"]

    (tmp_path / "file").touch()
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "file")}
    assert "cannot be read" in snapshot.snapshot()["problem"]


def test_an_alias_that_is_in_the_settings_no_more_has_no_options() -> None:
    assert snapshot._settings("gone", []) == []


def test_a_request_without_a_session_is_left_as_it_is(rf: RequestFactory) -> None:
    access.leave_session_alone(rf.get("/pools/"))


class TestTheCookie:
    @staticmethod
    def allowed(value: str, session: str = "a") -> bool:
        request = RequestFactory().get("/pools/data")
        request.COOKIES = {
            access.COOKIE: value,
            django_settings.SESSION_COOKIE_NAME: session,
        }
        return access.is_allowed_by_cookie(request)

    @pytest.fixture
    def value(self) -> str:
        request = RequestFactory().get("/pools/")
        request.COOKIES = {django_settings.SESSION_COOKIE_NAME: "a"}
        response = HttpResponse()
        access.remember(request, response)
        return response.cookies[access.COOKIE].value

    def test_is_good_for_its_session(self, value: str) -> None:
        assert self.allowed(value)
        assert not self.allowed(value, session="b")

    @pytest.mark.parametrize("forged", ["", "x", "x:y:z"])
    def test_cannot_be_made_up(self, forged: str) -> None:
        assert not self.allowed(forged)
        assert not self.allowed(forged, session="")

    def test_cannot_be_changed(self, value: str) -> None:
        assert not self.allowed(value[:-1] + ("a" if value[-1] != "a" else "b"))

    def test_is_good_for_an_hour(
        self, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3590)
        assert self.allowed(value)
        monkeypatch.setattr(time, "time", lambda: now + 3610)
        assert not self.allowed(value)


@pytest.mark.parametrize("view", [views.page, views.data, views.server, views.renew])
def test_no_transaction_is_begun_for_it(view: Any) -> None:
    assert view._non_atomic_requests == {"default", "other", "replica"}


@pytest.mark.parametrize("view", [views.page, views.data, views.server, views.renew])
def test_djangos_middleware_asks_nobody_to_log_in_for_it(view: Any) -> None:
    """It would look at the user. The views find out themselves who asks."""
    assert view.login_required is False


class TestTheCheck:
    @pytest.fixture(autouse=True)
    def _urls(self, settings: Any) -> None:
        settings.ROOT_URLCONF = (
            path("in/pools/", include("pooled_db.dashboard.urls")),
        )

    def test_points_out_that_it_would_queue(self, settings: Any) -> None:
        settings.POOLED_DB = {"EXEMPT": [r"^pools/"]}
        (message,) = checks.check_exempt()

        assert message.id == "pooled_db.W008"
        assert message.msg == (
            "The dashboard at /in/pools/ queues for a connection with each of its "
            "requests, so it cannot show a pool that is exhausted."
        )
        assert 'Add r"^in/pools/" to POOLED_DB["EXEMPT"].' in str(message.hint)

    def test_is_one_of_those_that_are_run(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "registered_checks", set())
        AppConfig.create("pooled_db.dashboard").ready()
        settings.POOLED_DB = {"EXEMPT": [r"^pools/"]}

        assert [message.id for message in run_checks()] == ["pooled_db.W008"]

    def test_is_content_with_what_it_demands(self, settings: Any) -> None:
        settings.POOLED_DB = {"EXEMPT": [r"^in/pools/"]}

        assert checks.check_exempt() == []

    def test_has_nothing_to_say_where_there_are_no_urls(self, settings: Any) -> None:
        del settings.ROOT_URLCONF

        assert checks.check_exempt() == []

    def test_leaves_wrong_settings_to_the_check_that_judges_them(
        self, settings: Any
    ) -> None:
        settings.POOLED_DB = {"EXEMPT": ["("]}

        assert checks.check_exempt() == []
