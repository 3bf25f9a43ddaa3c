"""The dashboard as a person meets it, in headless Chromium."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import dashboards
from tests.dashboards import PAGES, SEER, Browser
from tests.harness.chromium import Chromium
from tests.harness.server import Server
from tests.sites import Site

PICTURES = Path(__file__).parent / "pictures"

HEADLINE = "document.querySelector('.pools-headline')?.textContent"
FOCUSED = "document.activeElement.id || document.activeElement.tagName"


@pytest.fixture(scope="module")
def people(server: Server) -> dict[str, Any]:
    return dashboards.make_people(server)


@pytest.fixture
def looking(
    site: Callable[..., Site], people: dict[str, Any], tmp_path: Path
) -> Browser:
    """Somebody who may see the pools of a site that has nothing to do."""
    tmp_path.chmod(0o700)
    settings = dashboards.settings(tmp_path, WHITENOISE_USE_FINDERS=True)
    settings["MIDDLEWARE"] = [
        "tests.site.policy.self_only",
        "whitenoise.middleware.WhiteNoiseMiddleware",
        *settings["MIDDLEWARE"],
    ]
    pool = {"pool_size": 2, "timeout": 60, "queue_target": None}
    served = site("gunicorn", database=people, pool=pool, threads=16, **settings)
    browser = Browser(served, SEER)
    for path in PAGES:
        browser.get(path)
    return browser


@pytest.fixture
def busy(looking: Browser, server: Server) -> Iterator[Browser]:
    """The same while one page holds every connection, and others wait."""
    get = looking.site.get
    threads = [threading.Thread(target=get, args=("/take-turn",)) for _ in range(5)]
    server.ask("SELECT GET_LOCK('turn', 10)")
    try:
        for thread in threads:
            thread.start()
        yield looking
    finally:
        server.ask("DO RELEASE_LOCK('turn')")
        for thread in threads:
            thread.join()


@pytest.fixture
def chromium(looking: Browser) -> Iterator[Chromium]:
    with Chromium() as chromium:
        chromium.set_cookies(looking.site.server.url, looking.cookies)
        yield chromium


def shows_who_holds(chromium: Chromium, url: str) -> None:
    chromium.open(url)
    wanted = "GET /take-turn holds 2 of 2 connections."
    assert chromium.wait_for(f"{HEADLINE} === {wanted!r}"), chromium.run(
        "document.body.innerText"
    )


def test_it_says_which_page_holds_the_connections(
    busy: Browser, chromium: Chromium
) -> None:
    chromium.look_as(width=1280, dark=False)
    shows_who_holds(chromium, f"{busy.site.server.url}/pools/")

    status = chromium.run("document.querySelector('.pools-status').textContent")
    assert status == "3 requests wait"
    # Nothing of it was kept from the page by the policy, or went wrong.
    assert chromium.trouble == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits(busy: Browser, chromium: Chromium, width: int, dark: bool) -> None:
    chromium.look_as(width=width, dark=dark)
    shows_who_holds(chromium, f"{busy.site.server.url}/pools/")

    chromium.picture(PICTURES / f"alone-{width}-{'dark' if dark else 'light'}.png")
    assert chromium.run("document.documentElement.scrollWidth") == width
    # The answer to the first question is there without scrolling.
    below = chromium.run(
        "document.querySelector('.pools-holders tbody tr')"
        ".getBoundingClientRect().bottom"
    )
    assert below < 900


def test_it_can_be_used_without_a_mouse_and_without_eyes(
    busy: Browser, chromium: Chromium
) -> None:
    chromium.look_as(width=1280, dark=False)
    shows_who_holds(chromium, f"{busy.site.server.url}/pools/")

    chromium.press("Tab")
    assert chromium.run("document.activeElement.textContent") == "Skip to the pools"
    chromium.press("Tab")
    assert chromium.run(FOCUSED) == "pools-pause"
    chromium.press(" ")
    assert chromium.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    pictures = chromium.run(
        "[...document.querySelectorAll('figure svg')].map("
        "(one) => [one.getAttribute('role'), one.getAttribute('aria-label')])"
    )
    assert len(pictures) == 4
    assert all(role == "img" and "now " in label for role, label in pictures)
    assert "2 in use, 0 idle" in pictures[0][1]
    # A chart has its numbers in a table, which the keyboard opens.
    chromium.run("document.querySelector('figure summary').focus()")
    chromium.press("Enter")
    assert chromium.wait_for("!!document.querySelector('figure details tbody tr')")
    row = chromium.run(
        "[...document.querySelectorAll('figure tbody tr:first-child > *')]"
        ".map((one) => one.textContent).slice(1)"
    )
    assert row == ["2", "0", "0"]
    spoken = chromium.run("document.getElementById('pools-spoken').textContent")
    assert spoken == "default: GET /take-turn holds 2 of 2 connections. 3 wait."


def test_requests_that_were_refused_just_now_are_no_good_sign(
    looking: Browser, chromium: Chromium
) -> None:
    chromium.open(f"{looking.site.server.url}/pools/")
    told = "{stats: {waiting: 0, in_use: 0, limit: 2, overloaded: false}}"
    moods = [
        chromium.run(f"pooledSections.status({told}, {now})[0]")
        for now in (
            *("null", "{refused: 0, unserved: 0}"),
            *("{refused: 1, unserved: 0}", "{refused: 1, unserved: 1}"),
        )
    ]
    assert moods == ["good", "good", "busy", "bad"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_in_the_frame_of_the_admin(
    looking: Browser, chromium: Chromium, width: int, dark: bool
) -> None:
    chromium.look_as(width=width, dark=dark)
    chromium.open(looking.site.server.url + PAGES[1])

    # It shows the connection of the last request, if any, which may not be back yet.
    assert chromium.wait_for(f"{HEADLINE} === 'Nobody holds a connection to default.'")
    assert chromium.run("document.querySelector('#site-name a').textContent")
    assert chromium.run("document.documentElement.scrollWidth") == width
    assert [one for one in chromium.trouble if "pooled_db" in one] == []
    chromium.picture(PICTURES / f"admin-{width}-{'dark' if dark else 'light'}.png")


def test_its_colours_are_those_of_the_system_or_of_the_admins_switch(
    looking: Browser, chromium: Chromium
) -> None:
    light, dark = "rgb(31, 111, 235)", "rgb(91, 155, 255)"
    at_work = "document.querySelector('.pools .key.work')"
    for is_dark in (False, True):
        chromium.look_as(width=1280, dark=is_dark)
        chromium.open(looking.site.server.url + PAGES[1])
        assert chromium.wait_for(f"!!{at_work}")
        colours = [
            chromium.run(
                f"document.documentElement.dataset.theme = '{theme}',"
                f" getComputedStyle({at_work}).backgroundColor"
            )
            for theme in ("auto", "light", "dark")
        ]
        assert colours == [dark if is_dark else light, light, dark]
