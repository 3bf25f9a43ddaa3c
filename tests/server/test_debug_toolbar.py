"""What the panel of django-debug-toolbar shows, on the page that it is shown on."""

from __future__ import annotations

import html
import importlib.util
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.harness.server import Server
from tests.sites import Site

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("debug_toolbar") is None,
    reason="django-debug-toolbar is not installed",
)

SETTINGS: dict[str, Any] = {
    "DEBUG": True,
    "INTERNAL_IPS": ["127.0.0.1"],
    "ROOT_URLCONF": "tests.site.toolbar_urls",
    "STATIC_URL": "/static/",
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        "debug_toolbar",
        "pooled_db",
        "tests.site",
    ],
    "MIDDLEWARE": [
        "pooled_db.middleware.PooledConnectionMiddleware",
        "debug_toolbar.middleware.DebugToolbarMiddleware",
    ],
    "DEBUG_TOOLBAR_PANELS": ["pooled_db.debug_toolbar.PoolPanel"],
    "DEBUG_TOOLBAR_CONFIG": {"RENDER_PANELS": True},
}


@pytest.fixture(params=["gunicorn", "uvicorn"])
def panel(
    request: pytest.FixtureRequest, shared_site: Callable[..., Site]
) -> Callable[..., str]:
    """Ask for a page that executes some statements; the panel's text."""
    site = shared_site(request.param, pool={"pool_size": 1}, **SETTINGS)

    def ask(*statements: str) -> str:
        query = urlencode([("sql", statement) for statement in statements])
        answer = site.get(f"/page?{query}")
        assert answer.status == 200
        _, _, panel = answer.body.partition('id="PoolPanel"')
        text = html.unescape(re.sub(r"<[^>]+>", " ", panel))
        return re.sub(r"\s+", " ", text)

    return ask


def test_it_tells_of_the_wait_the_connection_and_the_pool(
    panel: Callable[..., str],
) -> None:
    panel("SELECT 1")
    text = panel("SELECT 1", "SELECT 2")

    assert re.search(r"Waited in line 0\.0000 s", text), text
    assert re.search(r"Connection \d+, reused ", text), text
    assert "Statements added by the pool 0 " in text
    assert "Session unchanged At the end given back as it is" in text
    assert "default after the view 1 0 0 1" in text


def test_its_line_in_the_list_of_panels_says_what_matters_most(
    shared_site: Callable[..., Site],
) -> None:
    site = shared_site("gunicorn", pool={"pool_size": 1}, **SETTINGS)
    site.get("/page?sql=SELECT+1")

    assert "waited 0.0 ms, reused<" in site.get("/page?sql=SELECT+1").body
    changed = site.get("/page?sql=SET+%40mine+%3D+1").body
    assert "waited 0.0 ms, reused, changed<" in changed


def test_it_names_the_statement_that_made_the_session_dirty(
    panel: Callable[..., str],
) -> None:
    text = panel("SELECT 1", "SET @mine = '<b>'", "SET @other = 1")

    assert "may have been changed, first by SET @mine = '<b>' At" in text
    assert "At the end made as new for the next user" in text
    assert "Session unchanged" in panel("SELECT 1")


def test_the_connection_is_the_one_that_the_statements_ran_on(
    panel: Callable[..., str], server: Server
) -> None:
    panel("SELECT 1")
    text = panel("SELECT SLEEP(0)")

    (number,) = re.findall(r"Connection (\d+),", text)
    assert int(number) in {int(one["id"]) for one in server.process_list()}


def test_a_connection_that_was_opened_for_the_request_is_called_new(
    site: Callable[..., Site],
) -> None:
    toolbar = site("gunicorn", **SETTINGS)

    assert "opened for this request" in toolbar.get("/page?sql=SELECT+1").body
    assert "opened for this request" not in toolbar.get("/page?sql=SELECT+1").body


def test_a_ping_is_counted_as_added(site: Callable[..., Site]) -> None:
    toolbar = site("gunicorn", pool={"pool_size": 1, "ping_after": 0}, **SETTINGS)
    toolbar.get("/page?sql=SELECT+1")

    text = re.sub(r"\s+", " ", toolbar.get("/page?sql=SELECT+1").body)
    assert "Statements added by the pool</th> <td>1 (<code>ping_after" in text
