"""What an idle connection and a waiter weigh, and how many threads ASGI makes."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

from django.db import connection

from benchmarks.contenders import COSTING
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.process import django_process
from benchmarks.observing import counting_threads
from benchmarks.report import Table
from benchmarks.serving import SCHEMA, served, site_environment
from pooled_db import pools
from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from tests.harness import load
from tests.harness.processes import poll

PAGE_KILOBYTES = os.sysconf("SC_PAGE_SIZE") / 1024
HOLD_SECONDS = 0.05
SOON = 30.0

CONNECTING = ("persistent", "dj-pool", "pooled")
THREADED = ("django", "dj-pool", "pooled", "door")


def resident() -> float:
    """Kilobytes of this process that are in memory."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * PAGE_KILOBYTES


def per_connection(number: int) -> float:
    """Kilobytes for each of so many open connections, used once and idle now."""
    wrappers = [connection.copy() for _ in range(number)]
    connection.ensure_connection()  # modules, caches and the pool are there now
    before = resident()
    for wrapper in wrappers:
        wrapper.ensure_connection()
    if connection.settings_dict["CONN_MAX_AGE"] == 0:
        for wrapper in wrappers:
            wrapper.close()
    after = resident()
    for wrapper in [*wrappers, connection]:
        wrapper.close()
    return (after - before) / number


def per_waiting_thread(number: int) -> float:
    """Kilobytes for each of so many threads that wait for the only connection."""
    connection.ensure_connection()

    def wait() -> None:
        connection.ensure_connection()
        connection.close()

    return _per_thread(number, wait, connection.close)


def per_idle_thread(number: int) -> float:
    """The same for threads that wait for nothing but an event."""
    event = threading.Event()
    return _per_thread(number, event.wait, event.set)


def _per_thread(
    number: int, wait: Callable[[], object], let_go: Callable[[], object]
) -> float:
    threads = [threading.Thread(target=wait) for _ in range(number)]
    before = resident()
    for thread in threads:
        thread.start()
    poll(_is_at_rest, SOON)
    after = resident()
    let_go()
    for thread in threads:
        thread.join()
    return (after - before) / number


def _is_at_rest() -> bool:
    """Whether every other thread of this process sleeps."""
    own = threading.get_native_id()
    states = (
        task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        for task in Path("/proc/self/task").iterdir()
        if int(task.name) != own
    )
    return all(state == "S" for state in states)


def per_waiting_task(number: int) -> float:
    """Kilobytes for each of so many tasks that wait for the only connection."""
    return asyncio.run(_per_waiting_task(number))


async def _per_waiting_task(number: int) -> float:
    pool = pools.for_alias("default")
    first, loans = Loan(pool), [Loan(pool) for _ in range(number)]
    await pool.admit_async(first)
    before = resident()
    tasks = [asyncio.create_task(_wait(pool, loan)) for loan in loans]
    await asyncio.sleep(0)
    after = resident()
    assert pool.gate.waiting == number
    first.checkin()
    await asyncio.gather(*tasks)
    return (after - before) / number


async def _wait(pool: Pool, loan: Loan) -> None:
    await pool.admit_async(loan)
    loan.checkin()


def measure(bench: Bench) -> Findings:
    weights = weigh(bench)
    threads = {
        name: threads_under_asgi(bench, name)
        for name in bench.steps("threads under ASGI", THREADED)
    }
    clients = bench.effort.thread_clients
    return Findings(
        [
            Table(
                "Memory",
                ("what", "contender", "KB each"),
                [
                    (what, COSTING[name].title if name else "", f"{kilobytes:.1f}")
                    for (what, name), kilobytes in weights.items()
                ],
                "Growth of the process's resident memory, by the number of"
                f" connections or waiters. {command('memory')}",
            ),
            Table(
                f"Threads of uvicorn's process with {clients} clients",
                ("contender", "threads", "good answers", "others"),
                [
                    (COSTING[name].title, *map(str, figures))
                    for name, figures in threads.items()
                ],
                f"Each request holds a connection for {HOLD_SECONDS * 1000:g} ms; pools"
                f" have 10. {command('memory')}",
            ),
        ],
        {
            "kilobytes": {
                f"{what}, {name}": kb for (what, name), kb in weights.items()
            },
            "threads": threads,
        },
    )


def weigh(bench: Bench) -> dict[tuple[str, str], float]:
    many, waiters = bench.effort.memory_connections, bench.effort.memory_waiters
    database = bench.database.database(SCHEMA)
    weights: dict[tuple[str, str], float] = {}

    def in_process(
        what: str, name: str, pool_size: int, weigh: Callable[[int], float], count: int
    ) -> None:
        site = site_environment(
            COSTING[name], database, pool_size, SQLALCHEMY_QUEUEPOOL=PATIENT
        )
        with django_process(site) as process:
            weights[what, name] = process.call(weigh, count)

    for name in bench.steps("memory", CONNECTING):
        in_process("idle connection", name, many + 1, per_connection, many)
    for name in bench.steps("waiting", ("dj-pool", "pooled")):
        in_process("waiting thread", name, 1, per_waiting_thread, waiters)
    in_process("waiting task", "pooled", 1, per_waiting_task, waiters)
    in_process("thread that waits for an event", "pooled", 1, per_idle_thread, waiters)
    return weights


#: All are to wait until they are let go.
PATIENT = {"queue_target": None, "timeout": SOON, "max_waiting": None}


def threads_under_asgi(bench: Bench, name: str) -> tuple[int, int, int]:
    """The most threads; answers that were good; and the others."""
    with served(
        bench.database,
        "uvicorn",
        COSTING[name],
        pool_size=10,
        BENCH_QUERY_SECONDS=HOLD_SECONDS,
    ) as running:
        with counting_threads(running) as threads:
            report = load.run(
                load.Plan(
                    running.url,
                    clients=bench.effort.thread_clients,
                    seconds=bench.effort.thread_seconds,
                    keepalive=True,
                )
            )
        return threads.most, report.good, len(report) - report.good
