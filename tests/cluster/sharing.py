"""Many processes that share one server's `max_connections`, under load.

A MySQL takes 20 connections; each request holds one for 50 ms. The processes are sized
as the documentation says, or take what they can get, directly or through a MySQL Router
that shares connections; they come and go, and some are idle with connections of their
own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.serving import ROOT
from tests.harness import load
from tests.harness.load_report import Report
from tests.harness.mysql import MySQL
from tests.harness.router import Router
from tests.harness.servers import AppServer, gunicorn
from tests.sites import site_settings

BUDGET = 20
CLIENTS = 60
SECONDS = 10.0
#: Of the measured time, for connections to be opened and shares to be found.
SETTLE = 5.0
PAUSE = 0.02
PAGE = load.Request("/sleep?seconds=0.05", headers={"Accept": "application/json"})
#: Of the processes of which some are idle: the default is a minute.
MAX_IDLE = 5.0
#: Clients give up after this long.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class SetUp:
    name: str
    processes: int
    pool_size: int
    through_router: bool = False
    #: On how many hosts they are: those of one see what the others there have.
    hosts: int = 1


SET_UPS = (
    SetUp("8 x 2, sized", 8, 2),
    SetUp("8 x 10, over-sized", 8, 10),
    SetUp("8 x 10 through Router", 8, 10, through_router=True),
    SetUp("4 x 5, sized", 4, 5),
    SetUp("4 x 10, over-sized", 4, 10),
    SetUp("4 x 10, each on a host of its own", 4, 10, hosts=4),
)


@dataclass
class Row:
    """What came of a set-up, after the time to settle."""

    name: str
    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    #: Good answers of each process.
    good: list[int] = field(default_factory=list)
    note: str = ""

    @property
    def refused(self) -> float:
        return self.statuses[503] / max(1, self.statuses.total())

    @property
    def unavailable(self) -> float:
        """Which part of the refusals says that the server cannot be reached."""
        return self.reasons["unavailable"] / max(1, self.reasons.total())

    @property
    def least_share(self) -> float:
        """How much of its share the process has that has least."""
        return min(self.good) * len(self.good) / max(1, sum(self.good))


@contextlib.contextmanager
def fleet(
    database: dict[str, Any],
    processes: int,
    pool_size: int,
    hosts: int = 1,
    **pool: object,
) -> Iterator[list[AppServer]]:
    """*processes* sites, each with a pool of *pool_size* and more threads than that."""
    options = {**database["OPTIONS"], "pool": {"pool_size": pool_size, **pool}}
    with contextlib.ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory())

        def env(host: int) -> dict[str, str]:
            here = {"EXEMPT": [r"^exempt/"], "STATE_DIR": f"{state}/{host}"}
            settings = site_settings(database, options=options, POOLED_DB=here)
            return {"TEST_DOOR": "1", "TEST_SETTINGS": json.dumps(settings)}

        yield [
            stack.enter_context(
                gunicorn(
                    "tests.wsgi:application",
                    threads=40,
                    env=env(number % hosts),
                    cwd=ROOT,
                )
            )
            for number in range(processes)
        ]


async def _driven(plans: Sequence[load.Plan]) -> list[Report]:
    return await asyncio.gather(*(load.drive(plan) for plan in plans))


def _plan(site: AppServer, clients: int, seconds: float) -> load.Plan:
    return load.Plan(
        site.url,
        [PAGE],
        clients=clients,
        seconds=seconds,
        delay=PAUSE,
        ramp=1.0,
        timeout=PATIENCE,
    )


def under_load(sites: Sequence[AppServer], name: str) -> Row:
    """Let all clients ask, as many of them each of *sites*."""
    each = CLIENTS // len(sites)
    rest = CLIENTS - each * len(sites)
    plans = [
        _plan(site, each + (number < rest), SETTLE + SECONDS)
        for number, site in enumerate(sites)
    ]
    row = Row(name, SECONDS)
    for report in asyncio.run(_driven(plans)):
        settled = report.where(after=SETTLE, before=SETTLE + SECONDS)
        row.statuses += settled.counts
        row.good.append(settled.counts[200])
        row.reasons += report.reasons
    return row


def measured(set_up: SetUp, server: MySQL) -> Row:
    database = database_of(server)
    with contextlib.ExitStack() as stack:
        router = None
        if set_up.through_router:
            # No longer than for this: what it keeps idle is of the budget, too.
            router = stack.enter_context(Router(server))
            database = router.through(database)
        sites = stack.enter_context(
            fleet(database, set_up.processes, set_up.pool_size, set_up.hosts)
        )
        row = under_load(sites, set_up.name)
        if router is not None:
            row.note = "Router runs" if router.running() else "ROUTER HAS DIED"
    return row


def rolling_restart(server: MySQL) -> Row:
    """Two processes of 8 serve; two more of 8 start beside them; the first two end."""
    database = database_of(server)
    row = Row("2 x 8 and then 2 x 8 beside them", SECONDS)
    with contextlib.ExitStack() as old_ones:
        old = old_ones.enter_context(fleet(database, 2, 8))
        reports: list[Report] = []
        before = threading.Thread(
            target=lambda: reports.extend(
                asyncio.run(_driven([_plan(site, 20, 2 * SECONDS) for site in old]))
            )
        )
        before.start()
        time.sleep(SETTLE)
        with fleet(database, 2, 8) as new:
            plans = [_plan(site, 10, SECONDS) for site in new]
            told = asyncio.run(_driven(plans))
            before.join()
            firsts = []
            for report in told:
                firsts.append(first_good(report))
                row.statuses += report.counts
                row.reasons += report.reasons
                row.good.append(report.counts[200])
    row.note = "first good of the new after " + " and ".join(
        f"{first:.1f} s" if first is not None else "never" for first in firsts
    )
    return row


def beside_idle_ones(server: MySQL) -> Row:
    """Two processes have had a burst, and are idle with all of the connections."""
    database = database_of(server)
    row = Row("1 x 10 beside 2 x 10 that are idle", 2 * SECONDS)
    with fleet(database, 3, 10, max_idle=MAX_IDLE) as (first, second, third):
        asyncio.run(_driven([_plan(site, 20, 3.0) for site in (first, second)]))
        held = len(server.process_list())
        (report,) = asyncio.run(_driven([_plan(third, 1, 2 * SECONDS)]))
    row.statuses, row.reasons = report.counts, report.reasons
    row.good = [report.counts[200]]
    good = first_good(report)
    later = report.where(after=good or 0.0).counts[503]
    row.note = (
        f"the idle hold {held}, max_idle is {MAX_IDLE:g} s; first good after "
        + ("never" if good is None else f"{good:.1f} s, {later} refused after that")
    )
    return row


def first_good(report: Report) -> float | None:
    pairs = zip(report.statuses, report.completed, strict=True)
    return min((at for status, at in pairs if status == 200), default=None)


def database_of(server: MySQL) -> dict[str, Any]:
    """The database, with TLS that does not read all of the system's certificates."""
    return server.database("fleet", ssl={"ca": str(server.data() / "ca.pem")})
