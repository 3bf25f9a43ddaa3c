"""What no machine changes: the calls and the instructions of a whole request.

Django's WSGI handler is called in this process, as a server would, with one ORM query.
Instructions are those of CPython's bytecode, which differ from version to version.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any
from wsgiref.util import setup_testing_defaults

from django.utils.module_loading import import_string

from benchmarks.contenders import COSTING
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.cycle import POOL_SIZE
from benchmarks.cost.process import django_process
from benchmarks.report import Table
from benchmarks.serving import SCHEMA, site_environment

WARM_UP = 50
QUERIES = (0, 1)
NOTE = (
    "Of the request after 50 others, within the application: a server adds its own."
    f" Python {sys.version_info[0]}.{sys.version_info[1]}. {command('counts')}"
)


def request(queries: int) -> Callable[[], None]:
    application = import_string("benchmarks.site.wsgi.application")
    environ: dict[str, Any] = {"HTTP_HOST": "127.0.0.1"}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = f"/items/{queries}"

    def ask() -> None:
        response = application(dict(environ), _start)
        b"".join(response)
        response.close()

    return ask


def _start(status: str, headers: object, exc_info: object = None) -> None:
    assert status.startswith("200"), status


def count(queries: int) -> Mapping[str, int]:
    """Count what one warm request takes."""
    ask = request(queries)
    for _ in range(WARM_UP):
        ask()
    counted: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, arg: object) -> None:
        counted[event] += 1

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        counted[event] += event == "opcode"
        return trace

    sys.setprofile(profile)
    ask()
    sys.setprofile(None)
    sys.settrace(trace)
    ask()
    sys.settrace(None)
    return {
        "calls": counted["call"],
        "C calls": counted["c_call"],
        "instructions": counted["opcode"],
    }


def measure(bench: Bench) -> Findings:
    database = bench.database.database(SCHEMA)
    counted: dict[str, dict[int, Mapping[str, int]]] = {}
    for name in bench.steps("counts", list(COSTING)):
        site = site_environment(COSTING[name], database, POOL_SIZE)
        with django_process(site) as process:
            counted[name] = {n: process.call(count, n) for n in QUERIES}
    what = list(next(iter(counted.values()))[QUERIES[0]])
    return Findings(
        [
            Table(
                "What a whole request takes, in counts",
                (
                    "contender",
                    *(f"{one}, {n} queries" for n in QUERIES for one in what),
                ),
                [
                    (
                        COSTING[name].title,
                        *(f"{by_number[n][one]:,}" for n in QUERIES for one in what),
                    )
                    for name, by_number in counted.items()
                ],
                NOTE,
            )
        ],
        {name: dict(by_number) for name, by_number in counted.items()},
    )
