"""Whether the cycle gets dearer with the pool, the threads, and those who wait."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection

from benchmarks.contenders import COSTING
from benchmarks.cost import cycle
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.process import django_process
from benchmarks.cost.timing import MICRO, timed
from benchmarks.gate import LONG, ignore
from benchmarks.report import Table
from benchmarks.serving import SCHEMA, site_environment
from pooled_db import pools
from pooled_db.permit import Permit, State
from pooled_db.scope import open_scope
from tests.harness.load import allow_many_sockets

CONTENDERS = ("pooled", "dj-pool")
CYCLES = 2_000

#: Those who wait stand in line for as long as the run takes, and nobody is refused.
PATIENT = {"queue_target": LONG, "timeout": LONG, "max_waiting": None}
#: Who has many connections open. In turn they come from ever colder memory.
OPEN = {
    COSTING["pooled"].title: ("pooled", {}),
    f"{COSTING['pooled'].title}, use_lifo": ("pooled", {"use_lifo": True}),
    COSTING["dj-pool"].title: ("dj-pool", {}),
}

NOTE = "Microseconds of CPU, the median of the rounds. "


def with_open_connections(number: int, rounds: int, seconds: float) -> float:
    """CPU per cycle when that many connections are open, all but one idle."""
    allow_many_sockets()
    wrappers = [connection.copy() for _ in range(number)]
    for wrapper in wrappers:
        wrapper.ensure_connection()
    for wrapper in wrappers:
        wrapper.close()
    call = cycle.cycle()
    return statistics.median(timed(call, seconds).cpu for _ in range(rounds))


def with_waiting(number: int, rounds: int, seconds: float) -> float:
    """CPU per request: one joins the line, the next is served, *number* wait meanwhile.

    The next one's cycle is that of a request, from its permit on.
    """
    pool = pools.for_alias("default")
    line: deque[Permit] = deque()

    def join() -> None:
        permit = Permit()
        pool.gate.enter(permit, LONG, ignore)
        line.append(permit)

    def serve_next() -> None:
        join()
        permit = line.popleft()
        assert permit.state is State.HELD
        scope = open_scope()
        scope._keep_permit(pool, permit)
        scope.check_out(pool)
        connection.ensure_connection()
        scope.close()

    for _ in range(number):
        join()
    figure = statistics.median(timed(serve_next, seconds).cpu for _ in range(rounds))
    assert len(line) == number
    for permit in line:
        pool.give_back(permit)
    return figure


def with_threads(number: int, rounds: int) -> float:
    """CPU per cycle when that many threads run one after the other."""
    figures = []
    for _ in range(rounds):
        threads = [
            threading.Thread(target=_cycles, args=(CYCLES // number,))
            for _ in range(number)
        ]
        begin = time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cycles = CYCLES // number * number
        figures.append((time.process_time() - begin) / cycles * MICRO)
    return statistics.median(figures)


def _cycles(number: int) -> None:
    call = cycle.cycle()
    for _ in range(number):
        call()


def measure(bench: Bench) -> Findings:
    effort = bench.effort
    database = bench.database.database(SCHEMA)

    def asked(
        name: str,
        pool_size: int,
        function: Callable[..., float],
        *args: Any,
        **options: bool,
    ) -> float:
        site = site_environment(
            COSTING[name], database, pool_size, SQLALCHEMY_QUEUEPOOL=PATIENT | options
        )
        with django_process(site) as process:
            return process.call(function, *args)

    rounds = effort.growth_rounds
    seconds = effort.cycle_seconds
    sizes = {
        title: [
            asked(name, size, with_open_connections, size, rounds, seconds, **options)
            for size in bench.steps(f"growth, {title}, connections", effort.pool_sizes)
        ]
        for title, (name, options) in OPEN.items()
    }
    threads = {
        COSTING[name].title: [
            asked(name, cycle.POOL_SIZE, with_threads, number, rounds)
            for number in bench.steps(f"growth, {name}, threads", effort.threads)
        ]
        for name in CONTENDERS
    }
    waiting = [
        asked("pooled", 1, with_waiting, number, rounds, seconds)
        for number in bench.steps("growth, waiting", effort.waiting)
    ]
    return Findings(
        [
            table("open connections", effort.pool_sizes, sizes, "all of them open"),
            table("threads", effort.threads, threads, "a pool of 10"),
            table(
                "waiting",
                effort.waiting,
                {COSTING["pooled"].title: waiting},
                "the only connection goes to the next in line, without the middleware",
            ),
        ],
        {
            "connections": sizes,
            "threads": threads,
            "waiting": waiting,
        },
    )


def table(
    what: str, counts: Sequence[int], figures: dict[str, list[float]], how: str
) -> Table:
    return Table(
        f"The cycle with more {what}",
        ("contender", *(f"{count:,}" for count in counts)),
        [(title, *(f"{one:.1f}" for one in some)) for title, some in figures.items()],
        f"{NOTE}{how[0].upper()}{how[1:]}. {command('growth')}",
    )
