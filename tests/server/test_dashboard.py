"""Who may see the dashboard, and what it tells while the pool has no connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import dashboards
from tests.conftest import connector
from tests.dashboards import GUEST, PAGES, SEER, STAFF, Browser
from tests.harness.processes import poll
from tests.harness.proxy import Proxy
from tests.harness.server import Server
from tests.sites import Site, run_python, serve

Serve = Callable[..., Site]
ADMIN = "/admin/pooled_db_dashboard/pools/"


@pytest.fixture(scope="module")
def people(server: Server) -> dict[str, Any]:
    """A database with the people of tests/dashboards.py."""
    return dashboards.make_people(server)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state")
    path.chmod(0o700)
    return path


@pytest.fixture(scope="module")
def quiet(people: dict[str, Any], directory: Path) -> Iterator[Site]:
    """A site at rest, which all tests share."""
    settings = dashboards.settings(directory)
    with serve("gunicorn", database=people, **settings) as site:
        yield site


class TestWhoMaySeeIt:
    @pytest.mark.parametrize("path", PAGES)
    def test_anonymous_people_are_sent_to_log_in(self, quiet: Site, path: str) -> None:
        answer = Browser(quiet).get(path)

        assert answer.status == 302
        assert answer.headers["Location"].startswith("/admin/login/?next=")

    @pytest.mark.parametrize("path", ["/pools/", ADMIN])
    @pytest.mark.parametrize("what", ["data", "server", "renew"])
    def test_and_are_told_nothing(self, quiet: Site, path: str, what: str) -> None:
        assert Browser(quiet).get(f"{path}{what}").status == 403

    @pytest.mark.parametrize("user", [STAFF, GUEST])
    @pytest.mark.parametrize("path", PAGES)
    def test_staff_and_the_permission_are_needed_both(
        self, quiet: Site, user: str, path: str
    ) -> None:
        browser = Browser(quiet, user)

        assert browser.get(path).status != 200
        assert browser.get(f"{path}data").status == 403
        assert browser.get(f"{path}renew").status == 403
        assert not browser.remembered

    @pytest.mark.parametrize("path", PAGES)
    def test_whoever_may_is_shown_the_page_and_told_the_numbers(
        self, quiet: Site, path: str
    ) -> None:
        browser = Browser(quiet, SEER)
        answer = browser.get(path)

        assert answer.status == 200
        assert "no-store" in answer.headers["Cache-Control"]
        assert 'id="pools"' in answer.body
        cookie = browser.set["pooled_db_dashboard"]
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
        assert (cookie["path"], cookie["max-age"]) == (path, "3600")
        assert browser.told(f"{path}data")["aliases"]["default"]["stats"]["limit"] == 10

    def test_the_cookie_is_good_beside_its_own_session_only(self, quiet: Site) -> None:
        browser, other = Browser(quiet, SEER), Browser(quiet, STAFF)
        browser.get("/pools/")
        other.cookies["pooled_db_dashboard"] = browser.cookies["pooled_db_dashboard"]

        assert browser.get("/pools/data").status == 200
        assert other.get("/pools/data").status == 403
        assert other.get("/pools/").status == 403

    def test_logging_out_ends_it(self, quiet: Site) -> None:
        browser = Browser(quiet, SEER)
        browser.get("/pools/")
        del browser.cookies["sessionid"]

        assert browser.get("/pools/data").status == 403

    def test_a_renewal_asks_the_database(
        self, quiet: Site, people: dict[str, Any]
    ) -> None:
        browser = Browser(quiet, SEER)
        browser.get("/pools/")
        assert (browser.get("/pools/renew").status, browser.remembered) == (204, True)

        set_staff = f"""
            from django.contrib.auth.models import User
            from django.db import connection
            User.objects.filter(username={SEER!r}).update(is_staff=%s)
            connection.close()
        """
        run_python(set_staff % False, people, **dashboards.SETTINGS)
        try:
            assert browser.get("/pools/data").status == 200  # nobody has been asked
            assert browser.get("/pools/renew").status == 403
            assert not browser.remembered
        finally:
            run_python(set_staff % True, people, **dashboards.SETTINGS)

    def test_it_is_read_only(self, quiet: Site) -> None:
        assert quiet.get("/pools/", method="POST").status in (403, 405)
        assert quiet.get("/pools/data", method="POST").status in (403, 405)
        browser = Browser(quiet, SEER)
        assert browser.get(f"{ADMIN}add/").status == 404


def test_a_dump_of_all_models_asks_for_no_table_of_the_pools(
    people: dict[str, Any],
) -> None:
    dump = """
        from django.core.management import call_command
        from django.db import connection
        call_command("dumpdata", "pooled_db_dashboard")
        connection.close()
    """
    assert run_python(dump, people, **dashboards.SETTINGS).strip() == "[]"


@contextmanager
def held(site: Site, server: Server, requests: int) -> Iterator[None]:
    """Let so many requests hold or wait for a connection."""
    threads = [
        threading.Thread(target=site.get, args=("/take-turn",)) for _ in range(requests)
    ]
    server.ask("SELECT GET_LOCK('turn', 10)")
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        server.ask("DO RELEASE_LOCK('turn')")
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_it_answers_while_the_pool_is_exhausted(
    site: Serve, server: Server, people: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    tmp_path.chmod(0o700)
    people = {**people, "ATOMIC_REQUESTS": True}
    # Whoever waited for a connection here would wait for longer than its client.
    pool = {"pool_size": 1, "timeout": 60, "queue_target": None}
    settings = dashboards.settings(tmp_path, SESSION_SAVE_EVERY_REQUEST=True)
    full = site(kind, database=people, pool=pool, door=True, **settings)
    browser = Browser(full, SEER)
    browser.get("/pools/")
    browser.get(ADMIN)

    def default() -> dict[str, Any]:
        told: dict[str, Any] = browser.told()["aliases"]["default"]
        return told

    with held(full, server, 3):
        assert poll(lambda: default()["stats"]["waiting"] == 2), default()
        told = default()
        assert browser.get("/pools/").status == 200
        assert browser.get(f"{ADMIN}alone").status == 200
        asked = browser.told("/pools/server")["aliases"]["default"]

    (holder,) = told["holders"]
    assert holder["page"] == "GET /take-turn"
    assert holder["view"] == "tests.site.views.take_turn"
    assert (holder["at_work"], holder["others"]) == (1, 0)
    (loan,) = told["loans"]
    assert loan["state"] == "at work"
    assert (told["stats"]["in_use"], told["stats"]["limit"]) == (1, 1)
    assert asked == {
        "problem": "Not asked: every connection of this process is in use."
    }


def test_it_answers_while_the_server_is_away(
    site: Serve, server: Server, people: dict[str, Any], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    with Proxy(server.port) as proxy:
        settings = dashboards.settings(tmp_path)
        far = site("gunicorn", database=proxy.through(people), **settings)
        browser = Browser(far, SEER)
        browser.get("/pools/")
        proxy.refuse()
        proxy.cut()

        def unavailable() -> bool:
            assert browser.get("/queries").status == 503
            counted = browser.told()["aliases"]["default"]["stats"]["refused_by"]
            return bool(counted["unavailable"])

        assert poll(unavailable)
        assert browser.get("/pools/").status == 200
        answer = browser.told("/pools/server")["aliases"]["default"]
        assert answer["problem"].startswith("No answer: ")
        proxy.forward()
        assert poll(lambda: browser.get("/queries").status == 200)


def test_it_tells_what_the_server_says(
    quiet: Site, server: Server, people: dict[str, Any]
) -> None:
    browser = Browser(quiet, SEER)
    browser.get("/pools/")
    # The one that asks does not count itself.
    with contextlib.closing(connector(server, "pooled_dashboard")()):
        told = browser.told("/pools/server")["aliases"]["default"]

    (row,) = server.ask("SELECT @@global.max_connections AS most")
    assert told["max_connections"] == row["most"]
    own = [one for one in told["accounts"] if one["user"] == people["USER"]]
    assert sum(one["connections"] for one in own) >= 1
    assert 1 <= told["connected"] <= told["max_used"]


def test_it_tells_all_processes_and_the_settings(
    site: Serve, people: dict[str, Any], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    settings = dashboards.settings(tmp_path, SQLALCHEMY_QUEUEPOOL={"timeout": 3})
    one = site("gunicorn", database=people, pool={"pool_size": 3}, **settings)
    other = site("gunicorn", database=people, pool={"pool_size": 2}, **settings)
    other.get("/queries")
    browser = Browser(one, SEER)
    browser.get("/pools/")
    told = browser.told()["aliases"]["default"]

    assert [process["limit"] for process in told["processes"]] in ([3, 2], [2, 3])
    assert told["stats"]["limit"] == 5
    options = {option["name"]: option for option in told["settings"]}
    size = options["pool_size"]
    assert size["origin"] == 'DATABASES["default"]["OPTIONS"]["pool"]["pool_size"]'
    assert size["value"] == "3"
    (difference,) = size["others"]
    assert difference.startswith("2 in process ")
    assert options["timeout"]["origin"] == 'SQLALCHEMY_QUEUEPOOL["timeout"]'
    assert options["recycle"]["origin"] == "default"
