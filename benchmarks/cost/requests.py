"""A number of requests to a site that runs, and what they took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import Contender, ServerName
from benchmarks.cost.spread import Spread
from benchmarks.serving import GUNICORN_THREADS, serving, site_environment
from tests.harness import load
from tests.harness.load_report import Report
from tests.harness.processes import process_tree
from tests.harness.servers import AppServer

POOL_SIZE = 10
WARM_UP_REQUESTS_EACH = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds per request; the latency is the median of the requests."""

    cpu: float
    database_cpu: float
    latency: float


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, ended ones too.

    /proc tells it in steps of 10 ms; the process's clock in nanoseconds. How its number
    is made: MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) in Linux's posix-timers_types.h.
    """
    return time.clock_gettime(~pid << 3 | 2)


@contextlib.contextmanager
def sites(
    server: ServerName, contenders: Mapping[str, Contender], database: Mapping[str, Any]
) -> Iterator[dict[str, AppServer]]:
    """Serve these contenders side by side; who is not asked uses no CPU."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                serving(server, site_environment(contender, database, POOL_SIZE))
            )
            for name, contender in contenders.items()
        }


def ask(running: AppServer, path: str, clients: int, each: int) -> Report:
    """Let each client send so many requests, one after the other; all must be good."""
    report = load.run(
        load.Plan(
            running.url,
            [load.Request(path)],
            clients=clients,
            requests_each=each,
            keepalive=True,
        )
    )
    if report.counts != {200: clients * each}:
        raise RuntimeError(
            f"{running.url}{path} answered {dict(report.counts)},"
            f" {dict(report.failures)}; its log:\n{running.log()}"
        )
    return report


def warm_up(running: AppServer) -> None:
    """Let each of gunicorn's threads start, and connect if it keeps its connection."""
    ask(running, "/items/1", GUNICORN_THREADS, WARM_UP_REQUESTS_EACH)


def cost_of(
    running: AppServer, path: str, clients: int, each: int, database_pid: int
) -> Cost:
    pids = list(process_tree(running.pid))
    before, database_before = sum(map(cpu_seconds, pids)), cpu_seconds(database_pid)
    report = ask(running, path, clients, each)
    cpu = sum(map(cpu_seconds, pids)) - before
    database_cpu = cpu_seconds(database_pid) - database_before
    requests = len(report)
    return Cost(cpu / requests, database_cpu / requests, report.percentile(50))


def spread(costs: Sequence[Cost], figure: str) -> Spread:
    return Spread(tuple(getattr(cost, figure) for cost in costs))
