"""Put one case under load and note what became of it.

CPU per answer: the operating system tells only how much CPU time the server's
processes used from the first arrival until the last one had its answer or its client
had given up. Two unknowns share it, the cost of a good answer and that of a refusal.
The first is measured where nothing is refused, at half the capacity (in the closed
loop: as many clients as connections): CPU time by good answers. At overload each good
answer is taken to cost the same, and what remains is shared equally among the arrivals
that got none: 503, 500 and those whose client gave up. So

- whatever makes good answers dearer under overload, such as many threads, is counted
  with the refusals that brought it about;
- an arrival that was never looked at weighs as much as one that was refused, which
  flatters a contender that leaves many without an answer;
- what the server still does for clients that have gone, after the end, is left out;
- a good answer costs less when they come thick and fast (about 1.5 ms where it was 1.9
  at half the capacity), so the remainder is too small: at ten times the capacity by
  some 0.04 ms, at twice by more than a refusal costs. It is therefore left out where
  fewer than three arrivals in four were not served.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.observing import afterwards, counting_threads, watching_others
from benchmarks.overload.cases import QUERY_SECONDS, Case, Place
from benchmarks.serving import served
from tests.harness import load
from tests.harness.load_report import NONE, Report, is_good
from tests.harness.mariadb import MariaDB
from tests.harness.servers import AppServer

SETTLED_AFTER_SECONDS = 2.0
WARM_UP_REQUESTS_EACH = 5
HAMMERING_BEFORE_SECONDS = 0.5
ENOUGH_UNSERVED = 3 / 4


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a span of time. Latencies are in seconds, and None where there were none."""

    good_per_second: float
    p50_good: float | None
    p99_good: float | None
    p99_refused: float | None
    counts: dict[int, int]

    @classmethod
    def of(cls, report: Report) -> Figures:
        return cls(
            report.good_per_second,
            _or_none(report.percentile(50, 200)),
            _or_none(report.percentile(99, 200)),
            _or_none(report.percentile(99, 503)),
            dict(sorted(report.counts.items())),
        )

    @property
    def good(self) -> int:
        return sum(n for status, n in self.counts.items() if is_good(status))

    @property
    def unserved(self) -> int:
        return sum(self.counts.values()) - self.good

    @property
    def other(self) -> int:
        """Answers that are neither good nor 503 nor 500 nor missing."""
        return self.unserved - sum(self.counts.get(s, 0) for s in (503, 500, NONE))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one case came to. Times are in seconds.

    ``next_served`` is None if nothing was served within ten seconds after the load.
    ``generator_lag`` is how late the generator itself was at most, ``others_cores`` how
    many cores other programs took: the figures are good only where both are small.
    """

    case: Case
    whole: Figures
    settled: Figures
    failures: dict[str, int]
    cpu_seconds: float
    most_threads: int
    most_connections: int
    next_served: float | None
    generator_lag: float
    others_cores: float

    @property
    def cpu_per_good(self) -> float | None:
        """CPU seconds; None unless all answers were good."""
        good = self.whole.good
        return self.cpu_seconds / good if good and not self.whole.unserved else None

    def cpu_per_refusal(self, calm: Measurement | None) -> float | None:
        """CPU seconds, given the same case without overload; see above."""
        unserved, good = self.whole.unserved, self.whole.good
        if calm is None or calm.cpu_per_good is None:
            return None
        if unserved < ENOUGH_UNSERVED * (good + unserved):
            return None
        return (self.cpu_seconds - good * calm.cpu_per_good) / unserved


def measure(database: MariaDB, case: Case, progress: load.Progress) -> Measurement:
    with (
        placed(case.place, database.pid),
        limited(database, case),
        served(
            database,
            case.server,
            case.contender,
            pool_size=case.pool_size,
            BENCH_QUERY_SECONDS=QUERY_SECONDS,
            POOLED_DB={"DOOR": case.contender.door, **case.settings},
        ) as server,
    ):
        warm_up(server, case.pool_size)
        database.flush_status()
        with (
            counting_threads(server) as threads,
            watching_others(server, database.pid) as others,
            afterwards() as after,
        ):
            cpu = server.cpu_seconds()

            def tell(elapsed: float, counts: Counter[int]) -> None:
                after.begin(server, time.monotonic() - elapsed + case.seconds)
                progress(elapsed, counts)

            with hammered(case.hammering(server.url)):
                report = load.run(case.plan(server.url), tell)
            cpu = server.cpu_seconds() - cpu
            next_served = after.result()
        most_connections = database.status("Max_used_connections")
    if case.part == "priority":
        report = report.where(request=0)
    return Measurement(
        case=case,
        whole=Figures.of(report),
        settled=Figures.of(report.where(after=SETTLED_AFTER_SECONDS)),
        failures=dict(report.failures),
        cpu_seconds=cpu,
        most_threads=threads.most,
        most_connections=most_connections,
        next_served=next_served,
        generator_lag=report.lag,
        others_cores=others.cores,
    )


@contextlib.contextmanager
def hammered(plan: load.Plan | None) -> Iterator[None]:
    """Let another client hammer meanwhile."""
    if plan is None:
        yield
        return
    with load.start(plan):
        time.sleep(HAMMERING_BEFORE_SECONDS)
        yield


@contextlib.contextmanager
def limited(database: MariaDB, case: Case) -> Iterator[None]:
    """Let a contender without a pool open as many connections as the others' have."""
    if case.contender.has_pool:
        yield
        return
    allow = f"ALTER USER {database.user}@'{database.host}' WITH MAX_USER_CONNECTIONS"
    database.ask(f"{allow} {case.pool_size}")
    try:
        yield
    finally:
        database.ask(f"{allow} 0")


@contextlib.contextmanager
def placed(place: Place, database_pid: int) -> Iterator[None]:
    """Let all that runs meanwhile, the database included, share one core, or be short
    of them because of another process."""
    cores = os.sched_getaffinity(0)
    if place == "busy":
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
            try:
                yield
            finally:
                busy.kill()
    elif place == "one core":
        try:
            _confine(database_pid, {min(cores)})
            yield
        finally:
            _confine(database_pid, cores)
    else:
        yield


def _confine(database_pid: int, cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    for thread in os.listdir(f"/proc/{database_pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


def warm_up(server: AppServer, clients: int) -> None:
    """Let it import and connect what it does so only on the first requests."""
    plan = load.Plan(server.url, clients=clients, requests_each=WARM_UP_REQUESTS_EACH)
    asyncio.run(load.drive(plan))


def _or_none(latency: float) -> float | None:
    return None if math.isnan(latency) else latency
