"""Whether the cycle gets dearer with the pool, the threads, and those who wait.

Each number has a process of its own, and they take turns, so that what disturbs the
machine for a while meets them all.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, cast

from django.db import connection, connections
from sqlalchemy.pool import QueuePool

from benchmarks.contenders import COSTING
from benchmarks.cost import cycle
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.process import DjangoProcess, django_process
from benchmarks.cost.spread import Spread, in_turn
from benchmarks.cost.timing import MICRO, timed
from benchmarks.gate import LONG, ignore
from benchmarks.report import Table
from benchmarks.serving import SCHEMA, site_environment
from pooled_db import pools
from pooled_db.backends.mysql.base import PooledMixin
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import Permit, State
from pooled_db.request.current import open_scope
from tests.harness.load import allow_many_sockets

CYCLES = 2_000
#: How often the loop without a pool does what takes as long as a cycle.
STEPS = 20

#: Those who wait stand in line for as long as the run takes, and nobody is refused.
PATIENT = {"queue_target": LONG, "timeout": LONG, "max_waiting": None}

NOTE = (
    "Microseconds of CPU, median and quartiles of the rounds; below, the ratios to the"
    " smallest number, taken within a round. "
)


@cache
def with_open_connections(number: int) -> Callable[[], object]:
    """The cycle when that many connections are open, all but one idle."""
    allow_many_sockets()
    wrappers = [connection.copy() for _ in range(number)]
    for wrapper in wrappers:
        wrapper.ensure_connection()
    for wrapper in wrappers:
        wrapper.close()
    return cycle.cycle()


@cache
def with_queue_pool(number: int) -> Callable[[], object]:
    """The same of a QueuePool alone: what of the growth is not this package's."""
    allow_many_sockets()
    wrapper = cast("PooledMixin", connections["default"])
    queue = QueuePool(
        cast("Any", wrapper.open_connection),
        pool_size=number,
        max_overflow=0,
        timeout=0,
        reset_on_return=None,
    )
    for one in [queue.connect() for _ in range(number)]:
        one.close()

    def use() -> None:
        fairy = queue.connect()
        fairy.dbapi_connection.is_alive()  # type: ignore[union-attr]
        fairy.close()

    return use


@cache
def with_waiting(number: int) -> Callable[[], object]:
    """A step: one joins the line, the next is served, *number* wait meanwhile.

    To be served is a whole cycle, for which the permit comes from the door.
    """
    pool = pools.for_alias("default")
    line: deque[Loan] = deque()
    request = cycle.cycle()

    def join() -> None:
        loan = Loan(pool)
        pool.gate.enter(loan, LONG, ignore)
        line.append(loan)

    def serve_next() -> None:
        join()
        loan = line.popleft()
        assert loan.state is State.ADMITTED
        assert len(line) == number
        scope = open_scope()
        scope.at_door = True
        scope.adopt(pool, loan, ends_with_it=True)
        request()

    for _ in range(number):
        join()
    return serve_next


def one_round(
    prepare: Callable[[int], Callable[[], object]], seconds: float, number: int
) -> float:
    return timed(prepare(number), seconds).cpu


def with_threads(number: int) -> float:
    """CPU per cycle in that many threads, which have begun before."""
    return _in_threads(number, cycle.cycle())


def without_pool(number: int) -> float:
    """The same of a loop that takes a lock and keeps a set, and nothing else."""
    return _in_threads(number, _plain_loop())


def _in_threads(number: int, call: Callable[[], object]) -> float:
    ready, over = threading.Barrier(number + 1), threading.Barrier(number + 1)
    each = CYCLES // number

    def cycles() -> None:
        call()  # Django makes a wrapper for each thread
        ready.wait()
        for _ in range(each):
            call()
        over.wait()

    threads = [threading.Thread(target=cycles) for _ in range(number)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.process_time()
    over.wait()
    cpu = time.process_time() - begin
    for thread in threads:
        thread.join()
    return cpu / (each * number) * MICRO


@cache
def _plain_loop() -> Callable[[], object]:
    lock = threading.Lock()
    held: set[Permit] = set()

    def call() -> None:
        for _ in range(STEPS):
            permit = Permit()
            with lock:
                held.add(permit)
                permit.arrived = time.monotonic()
            with lock:
                held.discard(permit)

    return call


@dataclass(frozen=True, slots=True)
class Row:
    """Who is measured, with what numbers."""

    name: str
    numbers: Sequence[int]
    measured: Callable[[int], float]
    #: No pool_size: as many connections as the number says.
    pool_size: int | None = cycle.POOL_SIZE
    options: Mapping[str, object] = field(default_factory=dict)


def rows_of(bench: Bench) -> dict[str, dict[str, Row]]:
    effort = bench.effort
    pooled, lifo = COSTING["pooled"].title, f"{COSTING['pooled'].title}, use_lifo"
    peer = COSTING["dj-pool"].title

    def opened(name: str, **options: object) -> Row:
        call = partial(one_round, with_open_connections, effort.cycle_seconds)
        return Row(name, effort.pool_sizes, call, None, options)

    def threaded(name: str, measured: Callable[[int], float] = with_threads) -> Row:
        return Row(name, effort.threads, measured)

    alone = partial(one_round, with_queue_pool, effort.cycle_seconds)

    waiting = partial(one_round, with_waiting, effort.cycle_seconds)

    return {
        # In turn they come from ever colder memory; with use_lifo it is always one.
        "open connections": {
            pooled: opened("pooled"),
            lifo: opened("pooled", use_lifo=True),
            "QueuePool alone, in turn": Row("pooled", effort.pool_sizes, alone, None),
            peer: opened("dj-pool"),
        },
        "threads": {
            pooled: threaded("pooled"),
            "a loop without a pool": threaded("pooled", without_pool),
            peer: threaded("dj-pool"),
        },
        "waiting": {pooled: Row("pooled", effort.waiting, waiting, 1)},
    }


HOW = {
    "open connections": "All of them open.",
    "threads": "A pool of 10.",
    "waiting": "The only connection goes to the next in line.",
}


def measure(bench: Bench) -> Findings:
    figures = {
        what: {
            title: spreads(bench, f"growth, {what}, {title}", row)
            for title, row in rows.items()
        }
        for what, rows in rows_of(bench).items()
    }
    return Findings(
        [table(what, some) for what, some in figures.items()],
        {
            what: {
                title: {number: spread.values for number, spread in row.items()}
                for title, row in some.items()
            }
            for what, some in figures.items()
        },
    )


def spreads(bench: Bench, what: str, row: Row) -> dict[int, Spread]:
    """Ask one process for each number, in turn."""
    database = bench.database.database(SCHEMA)
    with contextlib.ExitStack() as stack:
        processes: dict[int, DjangoProcess] = {}
        for number in row.numbers:
            size = number if row.pool_size is None else row.pool_size
            queue = {**PATIENT, **row.options}
            site = site_environment(
                COSTING[row.name], database, size, SQLALCHEMY_QUEUEPOOL=queue
            )
            processes[number] = stack.enter_context(django_process(site))
        for number in row.numbers:
            processes[number].call(row.measured, number)
        rounds: dict[int, list[float]] = {number: [] for number in row.numbers}
        turns = list(in_turn(row.numbers, bench.effort.growth_rounds))
        for number in bench.steps(what, turns):
            rounds[number].append(processes[number].call(row.measured, number))
    return {number: Spread(tuple(some)) for number, some in rounds.items()}


def table(what: str, figures: Mapping[str, Mapping[int, Spread]]) -> Table:
    numbers = list(next(iter(figures.values())))
    rows: list[Sequence[str]] = []
    for title, row in figures.items():
        rows += [
            (title, *(spread.text() for spread in row.values())),
            ("", *((spread / row[numbers[0]]).text(".2f") for spread in row.values())),
        ]
    return Table(
        f"The cycle with more {what}",
        ("contender", *(f"{number:,}" for number in numbers)),
        rows,
        f"{NOTE}{HOW[what]} {command('growth')}",
    )
