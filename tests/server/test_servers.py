"""The site behind each application server that is installed, over real HTTP."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

from tests.harness import servers
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.servers_here import needs
from tests.sites import ROOT, Kind, Site, connections_by_process, serve, site_settings

Serve = Callable[..., Site]


@contextlib.contextmanager
def a_connection_held(site: Site, server: Server) -> Iterator[None]:
    """Let a request hold a connection: it waits for a lock that is held here."""
    with contextlib.closing(server.admin()) as admin:
        admin.query("SELECT GET_LOCK('turn', 0)")
        admin.store_result()
        request = threading.Thread(target=site.get, args=("/take-turn",))
        request.start()
        try:
            # What it has not used yet would be called back for who waits.
            assert poll(
                lambda: "User lock" in {one["state"] for one in server.process_list()}
            )
            yield
        finally:
            admin.query("DO RELEASE_LOCK('turn')")
            request.join()


every_server = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=needs(kind)) for kind in get_args(Kind)]
)


@every_server
def test_requests_in_turn_share_one_connection(site: Serve, kind: Kind) -> None:
    served = site(kind)
    seen = {served.get("/queries?n=2").body for _ in range(20)}
    assert len(seen) == 1
    state = served.state()
    assert (state["opened"], state["checkouts"]) == (1, 20)


@every_server
def test_who_gets_no_connection_is_refused_and_all_come_back(
    site_database: dict[str, Any], server: Server, kind: Kind
) -> None:
    pool = {"pool_size": 1, "timeout": 0.2}
    with serve(kind, database=site_database, pool=pool) as site:
        with a_connection_held(site, server):
            refused = site.get("/queries", headers={"Accept": "application/json"})
        assert refused.status == 503
        assert json.loads(refused.body)["reason"] == "timeout"
        site.assert_nothing_left()
        assert site.get("/queries").status == 200


@every_server
def test_it_ends_quietly_on_sigterm(site: Serve, kind: Kind) -> None:
    served = site(kind)
    assert served.get("/queries").status == 200
    server = served.server
    server.terminate()
    assert server.exit_status in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log()


def test_a_sync_worker_has_one_connection_for_all_its_requests(site: Serve) -> None:
    served = site("gunicorn", threads=1, pool={"pool_size": 1})
    assert len({served.get("/queries").body for _ in range(5)}) == 1


@needs("uwsgi")
@pytest.mark.parametrize(
    "args", [(), ("--lazy-apps",), ("--py-call-uwsgi-fork-hooks",)], ids=" ".join
)
def test_workers_of_uwsgi_share_no_connection(
    site_database: dict[str, Any], args: tuple[str, ...]
) -> None:
    """The database is used while the master imports the application."""
    with servers.uwsgi(
        "tests.preloaded:application",
        threads=2,
        workers=3,
        env={"TEST_SETTINGS": json.dumps(site_settings(site_database))},
        cwd=ROOT,
        args=args,
    ) as running:
        seen = connections_by_process(Site(running))
    everywhere = [number for numbers in seen.values() for number in numbers]
    assert len(everywhere) == len(set(everywhere))
