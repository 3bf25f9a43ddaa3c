"""What it takes to start: imports, Django's set-up, and the first request."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping

from benchmarks.contenders import COSTING
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.cycle import POOL_SIZE
from benchmarks.cost.spread import in_turn
from benchmarks.report import Table
from benchmarks.serving import ROOT, SCHEMA, site_environment

NAMES = ("persistent", "dj-pool", "pooled")
STEPS = ("interpreter and django.setup()", "application", "first request, 1 query")
PROGRAM = """
import time, sys
began = time.perf_counter()
import django
django.setup()
set_up = time.perf_counter()
from benchmarks.site.wsgi import application
made = time.perf_counter()
from benchmarks.cost.counts import request
ready = time.perf_counter()
request(1)()
print(set_up - began, made - set_up, time.perf_counter() - ready)
"""
NOTE = f"Milliseconds, the median of new processes in turn. {command('startup')}"


def start(site: Mapping[str, str]) -> list[float]:
    """Start one process; return the milliseconds of each step."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **site},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(seconds) * 1000 for seconds in ended.stdout.split()]


def measure(bench: Bench) -> Findings:
    database = bench.database.database(SCHEMA)
    rounds: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    turns = list(in_turn(NAMES, bench.effort.startup_rounds))
    for name in bench.steps("startup", turns):
        site = site_environment(COSTING[name], database, POOL_SIZE)
        rounds[name].append(start(site))
    medians = {
        name: [statistics.median(one) for one in zip(*some, strict=True)]
        for name, some in rounds.items()
    }
    return Findings(
        [
            Table(
                "Start-up",
                ("contender", *STEPS),
                [
                    (COSTING[name].title, *(f"{ms:.0f}" for ms in some))
                    for name, some in medians.items()
                ],
                NOTE,
            )
        ],
        {name: dict(zip(STEPS, some, strict=True)) for name, some in medians.items()},
    )
