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
from benchmarks.cost.links import CYCLE_LINKS, LINKS
from benchmarks.cost.process import DjangoProcess, django_process
from benchmarks.cost.spread import Spread, in_turn
from benchmarks.cost.timing import Timing, timed
from benchmarks.report import NOTHING, Table
from benchmarks.serving import site_environment

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


#: What is measured, and by which link to the database server.
MEASURED = {
    "local": (one_cycle, "local"),
    "with signals": (with_signals, "local"),
    "1 ms": (one_cycle, "1 ms"),
}

Key = tuple[str, str]
Timings = dict[Key, list[Timing]]


def measure(bench: Bench) -> Findings:
    effort = bench.effort
    keys = [(name, what) for name in CONTENDERS for what in MEASURED]
    timings: Timings = {key: [] for key in keys}
    with contextlib.ExitStack() as stack:
        databases = {
            link: stack.enter_context(LINKS[link].opened(bench)) for link in CYCLE_LINKS
        }
        processes: dict[Key, DjangoProcess] = {}
        for name, link in bench.steps(
            "cycle: starting", [(n, k) for n in CONTENDERS for k in CYCLE_LINKS], str
        ):
            site = site_environment(CONTENDERS[name], databases[link], POOL_SIZE)
            processes[name, link] = stack.enter_context(django_process(site))
        for name, what in keys:
            function, link = MEASURED[what]
            processes[name, link].call(function, effort.cycle_seconds)
        for name, what in bench.steps(
            "cycle", list(in_turn(keys, effort.cycle_rounds)), " ".join
        ):
            function, link = MEASURED[what]
            timings[name, what].append(
                processes[name, link].call(function, effort.cycle_seconds)
            )
    return findings(timings)


def findings(timings: Timings) -> Findings:
    wall = {key: Spread(tuple(t.wall for t in some)) for key, some in timings.items()}
    cpu = {key: Spread(tuple(t.cpu for t in some)) for key, some in timings.items()}

    def times(name: str, what: str) -> str:
        if name == "persistent":
            return NOTHING
        return f"{(wall[name, what] / wall[BASE, what]).median:.1f}"

    rows = [
        (
            contender.title,
            wall[name, "local"].text(),
            f"{wall[name, 'local'].best:.1f}",
            f"{cpu[name, 'local'].median:.1f}",
            times(name, "local"),
            wall[name, "with signals"].text(),
            wall[name, "1 ms"].text(),
            times(name, "1 ms"),
        )
        for name, contender in CONTENDERS.items()
    ]
    headings = (
        "contender",
        "cycle",
        "best round",
        "CPU of it",
        "times pooled_db's",
        "with Django's signals",
        "cycle, 1 ms away",
        "times pooled_db's",
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
