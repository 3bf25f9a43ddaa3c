"""A request's way to its connection and back, without a query and without a server.

The middleware, as the settings name it, is called as Django would, around a view that
does nothing but `ensure_connection()`. What a contender leaves to the end of the
request, `close()`, follows. All contenders pay for Django's signals besides, which
close what is too old; they are timed as a whole, with the cycle within.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import asdict

from django.conf import settings
from django.core import signals
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from benchmarks.contenders import COSTING
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.process import DjangoProcess, django_process
from benchmarks.cost.spread import Spread, in_turn
from benchmarks.cost.timing import Timing, timed
from benchmarks.report import NOTHING, Table
from benchmarks.serving import SCHEMA, site_environment

#: Served in the same way as another, or compared with: in-process there is no door.
CONTENDERS = {name: one for name, one in COSTING.items() if not one.door}
POOL_SIZE = 10
BASE = "pooled"

NOTE = (
    "Microseconds, median and quartiles of the rounds. CONN_MAX_AGE=None keeps the"
    " connection in its thread: its figure is what Django takes to find it, which is in"
    f" all others too. {command('cycle')}"
)


@functools.cache
def cycle() -> Callable[[], object]:
    """One request of this process's contender."""
    response = HttpResponse()

    def view(request: HttpRequest) -> HttpResponse:
        connection.ensure_connection()
        return response

    handler: Callable[[HttpRequest], object] = view
    for name in reversed(settings.MIDDLEWARE):
        handler = import_string(name)(handler)
    request = HttpRequest()
    request.path = request.path_info = "/"
    request.method = "GET"
    if settings.MIDDLEWARE or connection.settings_dict["CONN_MAX_AGE"] != 0:
        return functools.partial(handler, request)

    def ask_and_close() -> None:
        handler(request)
        connection.close()

    return ask_and_close


def one_cycle(seconds: float) -> Timing:
    return timed(cycle(), seconds)


def with_signals(seconds: float) -> Timing:
    once = cycle()

    def request() -> None:
        signals.request_started.send(None, environ={})
        once()
        signals.request_finished.send(None)

    return timed(request, seconds)


MEASURED = {"cycle": one_cycle, "with signals": with_signals}


def measure(bench: Bench) -> Findings:
    effort = bench.effort
    database = bench.database.database(SCHEMA)
    keys = [(name, what) for name in CONTENDERS for what in MEASURED]
    timings: dict[tuple[str, str], list[Timing]] = {key: [] for key in keys}
    with contextlib.ExitStack() as stack:
        processes: dict[str, DjangoProcess] = {}
        for name in bench.steps("cycle: starting", list(CONTENDERS)):
            site = site_environment(CONTENDERS[name], database, POOL_SIZE)
            processes[name] = stack.enter_context(django_process(site))
            for function in MEASURED.values():
                processes[name].call(function, effort.cycle_seconds)
        for name, what in bench.steps(
            "cycle", list(in_turn(keys, effort.cycle_rounds)), " ".join
        ):
            timings[name, what].append(
                processes[name].call(MEASURED[what], effort.cycle_seconds)
            )
    return findings(timings)


def findings(timings: dict[tuple[str, str], list[Timing]]) -> Findings:
    wall = {key: Spread(tuple(t.wall for t in some)) for key, some in timings.items()}
    cpu = {key: Spread(tuple(t.cpu for t in some)) for key, some in timings.items()}
    rows = []
    for name, contender in CONTENDERS.items():
        spread = wall[name, "cycle"]
        times = (spread / wall[BASE, "cycle"]).median
        rows.append(
            (
                contender.title,
                spread.text(),
                f"{cpu[name, 'cycle'].median:.1f}",
                NOTHING if name == "persistent" else f"{times:.1f}",
                wall[name, "with signals"].text(),
            )
        )
    headings = (
        "contender",
        "cycle",
        "CPU of it",
        "times pooled_db's",
        "with Django's signals",
    )
    return Findings(
        [
            Table(
                "A connection bound and given back, without a query",
                headings,
                rows,
                NOTE,
            )
        ],
        {
            name: {
                what: [asdict(timing) for timing in timings[name, what]]
                for what in MEASURED
            }
            for name in CONTENDERS
        },
    )
