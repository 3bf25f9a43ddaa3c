"""The server restarts, freezes, or ends every connection."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.harness.kinds import private_server
from tests.harness.load import Plan, Request, start
from tests.harness.private import PrivateServer
from tests.harness.processes import poll
from tests.sites import Kind, Site, serve

both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])


@pytest.fixture
def own_server() -> Iterator[PrivateServer]:
    with private_server() as server:
        yield server


@both
def test_a_restart_under_load_is_answered_with_200_and_503_and_soon_over(
    own_server: PrivateServer, kind: Kind
) -> None:
    database = own_server.database("restarted")
    pool = {"pool_size": 4, "timeout": 1}
    with serve(kind, database=database, threads=16, door=True, pool=pool) as site:
        assert site.get("/queries").status == 200
        plan = Plan(
            site.server.url,
            (Request("/queries"),),
            clients=16,
            # MySQL waits 2 s for its connections before it ends.
            seconds=5 if own_server.is_mariadb else 10,
            delay=0.01,
        )
        began = time.monotonic()
        with start(plan) as load:
            time.sleep(1.0)
            own_server.stop()
            time.sleep(1.0)
            own_server.start()
            accepts = time.monotonic() - began
            report = load.wait()

    assert set(report.counts) == {200, 503}
    assert report.without_retry_after == 0
    good = [
        completed
        for status, completed in zip(report.statuses, report.completed, strict=True)
        if status == 200 and completed > accepts
    ]
    assert min(good) - accepts <= 1.0


@both
def test_when_all_idle_connections_were_killed_the_next_requests_are_served(
    own_server: PrivateServer, kind: Kind
) -> None:
    database = own_server.database("killed")
    with serve(kind, database=database, pool={"pool_size": 4}) as site:
        with start(
            Plan(site.server.url, (Request("/sleep"),), clients=8, seconds=1)
        ) as load:
            load.wait()
        assert site.state()["idle"] == 4
        with own_server.admin() as admin:
            for process in own_server.process_list():
                admin.kill(process["id"])
        assert poll(lambda: own_server.process_list() == [])

        assert [site.get("/queries").status for _ in range(50)] == [200] * 50


@both
def test_a_frozen_server_delays_nobody_who_waits_beyond_the_timeout(
    own_server: PrivateServer, kind: Kind
) -> None:
    database = own_server.database("frozen")
    pool = {"pool_size": 2, "timeout": 1}
    options = {"pool": pool, "read_timeout": 3, "connect_timeout": 2}
    with serve(kind, database=database, threads=16, door=True, options=options) as site:
        assert site.get("/queries").status == 200
        own_server.pause()
        try:
            plan = Plan(
                site.server.url, (Request("/queries"),), clients=12, requests_each=1
            )
            with start(plan) as load:
                report = load.wait()
        finally:
            own_server.resume()
        assert set(report.counts) == {503}
        waited = sorted(report.latencies)
        # Two are inside a statement, or connecting, when it freezes: the driver's own
        # time-outs bound those.
        assert waited[-3] <= 1.0 + 1.0
        assert waited[-1] <= 3.0 + 2.0
        assert poll(lambda: site.get("/queries").status == 200)


@both
def test_connections_past_wait_timeout_are_replaced_unnoticed(
    own_server: PrivateServer, kind: Kind
) -> None:
    database = own_server.database("short")
    options = {
        "pool": {"pool_size": 2},
        # More than a slow machine needs between two statements of a request.
        "init_command": "SET SESSION wait_timeout = 5",
    }
    with serve(kind, database=database, options=options) as site:
        assert site.get("/queries").status == 200
        assert poll(lambda: own_server.process_list() == [])
        assert site.get("/queries").status == 200


def test_a_site_without_its_server_answers_503_at_once(
    own_server: PrivateServer,
) -> None:
    database = own_server.database("away")
    own_server.stop()
    with serve("gunicorn", database=database) as site:
        began = time.monotonic()
        answers = [site.get("/queries") for _ in range(50)]
        assert {answer.status for answer in answers} == {503}
        assert time.monotonic() - began < 5.0
        assert site.get("/exempt/nothing").status == 200
        assert isinstance(site, Site)
