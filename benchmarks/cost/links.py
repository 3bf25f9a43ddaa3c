"""The ways between a site and its database server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.cost.bench import Bench
from benchmarks.serving import SCHEMA
from tests.harness.proxy import Proxy

#: Those by which the cycle is measured.
CYCLE_LINKS = ("local", "1 ms")
#: Each way, so that an answer takes a millisecond longer.
DELAY = 0.0005

Settings = dict[str, Any]


@contextlib.contextmanager
def direct(bench: Bench) -> Iterator[Settings]:
    yield bench.database.database(SCHEMA)


@contextlib.contextmanager
def one_millisecond(bench: Bench) -> Iterator[Settings]:
    with Proxy(bench.database.port) as proxy:
        proxy.delay(to_server=DELAY, to_client=DELAY)
        yield proxy.through(bench.database.database(SCHEMA))


@contextlib.contextmanager
def encrypted(bench: Bench) -> Iterator[Settings]:
    options = bench.certificate.client_options
    before = bench.database.status("Ssl_accepts")
    yield {**bench.database.database(SCHEMA), "OPTIONS": options}
    if bench.database.status("Ssl_accepts") == before:
        raise RuntimeError("no connection was encrypted: the server has no TLS")


@dataclass(frozen=True, slots=True)
class Link:
    title: str
    opened: Callable[[Bench], contextlib.AbstractContextManager[Settings]]


LINKS = {
    "local": Link("same machine", direct),
    "1 ms": Link("1 ms away", one_millisecond),
    "TLS": Link("same machine, TLS", encrypted),
}
