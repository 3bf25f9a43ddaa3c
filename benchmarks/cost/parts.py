"""What pooled_db's cycle is made of, from the inside out.

The pool alone; then what the scope adds to it, what Django's wrapper adds, and the
middleware with all that is left. Within the first and the third, what can be called by
itself is measured by itself, and the remainder is called the rest.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

from django.db import connections
from django.db.backends.mysql import base
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from sqlalchemy.pool import QueuePool

from benchmarks.contenders import COSTING
from benchmarks.cost import cycle
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.process import django_process
from benchmarks.cost.spread import Spread, in_turn
from benchmarks.cost.timing import Timing, timed
from benchmarks.report import Table
from benchmarks.serving import SCHEMA, site_environment
from pooled_db import pools
from pooled_db.backends.mysql.base import PooledMixin
from pooled_db.driver.connection import Connection
from pooled_db.middleware import PooledConnectionMiddleware
from pooled_db.pool.gate import Gate
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import READY, Permit
from pooled_db.pool.pool import Pool
from pooled_db.request.current import open_scope

Call = Callable[[], object]
POOL_CYCLE = "Pool: checkout() and checkin()"
SCOPE_CYCLE = "a scope with admission, loan and end"
WRAPPER_CYCLE = "ensure_connection() and close() outside of requests"
EMPTY_CYCLE = "middleware around a view, no pool"
WHOLE = "the whole cycle"
CONNECT = "Django's connect()"
WHICH = "which pool: by alias, by wrapper"

OF_POOL = (
    "gate: a permit and its return",
    "QueuePool: connect() and close()",
    "poll: is the connection alive",
    "clean-up: is it needed",
    "loan: lend()",
)
OF_WRAPPER = (CONNECT, WHICH)

WITHIN = "– "  # noqa: RUF001  an en dash

NOTE = (
    f"Microseconds, median and quartiles of the rounds; those without are differences."
    f" {command('parts')}"
)


class Ready(base.DatabaseWrapper):
    """Django's own wrapper, which is handed a connection that is set up already."""

    ready: Any = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        return self.ready

    def init_connection_state(self) -> None:
        """Done once per connection, so not in the steady state."""


@functools.cache
def calls() -> dict[str, Call]:
    wrapper = cast("PooledMixin", connections["default"])
    pool = pools.for_alias(wrapper.alias)
    connection = wrapper.open_connection()  # on which the parts work
    queue = QueuePool(
        functools.partial(_same, connection),
        pool_size=cycle.POOL_SIZE,
        max_overflow=0,
        timeout=0,
        reset_on_return=None,
    )
    return {
        **dict(
            zip(
                OF_POOL,
                (
                    _gate(),
                    lambda: queue.connect().close(),
                    connection.is_alive,
                    lambda: pool.cleans(connection),
                    _loan(pool, connection),
                ),
                strict=True,
            )
        ),
        POOL_CYCLE: lambda: pool.checkout().checkin(),
        SCOPE_CYCLE: functools.partial(_scope_cycle, pool, BORROWER),
        CONNECT: _connect(wrapper, connection),
        WHICH: lambda: (pools.for_alias("default"), wrapper.pool),
        WRAPPER_CYCLE: functools.partial(_wrapper_cycle, wrapper),
        EMPTY_CYCLE: _middleware(),
        WHOLE: cycle.cycle(),
    }


class Borrower:
    """As Django's wrapper is to a scope."""

    has_atomic_block = False

    @staticmethod
    def detach() -> None: ...


BORROWER = Borrower


def _scope_cycle(pool: Pool, borrower: Callable[[], Borrower]) -> None:
    scope = open_scope()
    scope.admit(pool)
    scope.check_out(pool)
    assert (
        scope.lend_ready(connections.settings["default"], pool.alias, borrower)
        is not None
    )
    scope.close()


def _wrapper_cycle(wrapper: PooledMixin) -> None:
    wrapper.ensure_connection()
    wrapper.close()


def _same(connection: Any) -> Any:
    return connection


def _loan(pool: Pool, connection: Connection) -> Call:
    loan = Loan(pool)
    loan.connection = connection
    thread = threading.get_ident()

    def call() -> None:
        loan.state = READY
        loan.lend(BORROWER, thread)

    return call


def _gate() -> Call:
    gate = Gate(cycle.POOL_SIZE, queue_target=0.05)

    def call() -> None:
        permit = Permit()
        gate.acquire(permit, 5.0)
        gate.release(permit)

    return call


def _middleware() -> Call:
    """With CHECKOUT "query" and a view that asks nothing, no pool is touched."""
    response = HttpResponse()
    with override_settings(POOLED_DB={"CHECKOUT": "query"}):
        middleware = PooledConnectionMiddleware(lambda request: response)
    request = HttpRequest()
    request.path = "/"
    request.method = "GET"
    return lambda: middleware(request)


def _connect(wrapper: PooledMixin, connection: Any) -> Call:
    ready = Ready(wrapper.settings_dict | {"OPTIONS": {}})
    ready.ready = connection
    return ready.connect


def one_part(name: str, seconds: float) -> Timing:
    return timed(calls()[name], seconds)


def measure(bench: Bench) -> Findings:
    effort = bench.effort
    names = (
        *(*OF_POOL, POOL_CYCLE, SCOPE_CYCLE),
        *(*OF_WRAPPER, WRAPPER_CYCLE, EMPTY_CYCLE, WHOLE),
    )
    timings: dict[str, list[Timing]] = {name: [] for name in names}
    site = site_environment(
        COSTING["pooled"], bench.database.database(SCHEMA), cycle.POOL_SIZE
    )
    with django_process(site) as process:
        for name in names:
            process.call(one_part, name, effort.cycle_seconds)
        for name in bench.steps("parts", list(in_turn(names, effort.cycle_rounds))):
            timings[name].append(process.call(one_part, name, effort.cycle_seconds))
    return findings(timings)


def findings(timings: dict[str, list[Timing]]) -> Findings:
    wall = {name: Spread(tuple(t.wall for t in some)) for name, some in timings.items()}
    median = {name: spread.median for name, spread in wall.items()}
    whole, pool = median[WHOLE], median[POOL_CYCLE]
    scope = median[SCOPE_CYCLE] - pool
    django = median[WRAPPER_CYCLE] - pool

    def measured(name: str, indent: str = "") -> tuple[str, str, str]:
        return indent + name, wall[name].text(".2f"), f"{median[name] / whole:.0%}"

    def derived(name: str, value: float) -> tuple[str, str, str]:
        return name, f"{value:.2f}", f"{value / whole:.0%}"

    rows = [
        measured(POOL_CYCLE),
        *(measured(name, WITHIN) for name in OF_POOL),
        derived(
            f"{WITHIN}leases and counting", pool - sum(median[name] for name in OF_POOL)
        ),
        derived("what the scope adds", scope),
        derived("what Django's wrapper adds", django),
        *(measured(name, WITHIN) for name in OF_WRAPPER),
        derived(
            f"{WITHIN}close() and the rest",
            django - sum(median[name] for name in OF_WRAPPER),
        ),
        derived("the middleware, and what is left", whole - pool - scope - django),
        measured(WHOLE),
        *(measured(name) for name in (SCOPE_CYCLE, WRAPPER_CYCLE, EMPTY_CYCLE)),
    ]
    return Findings(
        [
            Table(
                "What pooled_db's cycle is made of", ("part", "us", "share"), rows, NOTE
            )
        ],
        {name: [asdict(timing) for timing in some] for name, some in timings.items()},
    )
