"""Clients who buy tickets and read from any node, and remember what they were told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from demo.serving import EVENT_IDS
from tests.harness.processes import HOST

TIMEOUT = 30.0
#: A client that was refused, or got no answer, waits for this long.
PAUSE = 0.05
#: Which share of the requests only reads, from whatever node the proxy chooses.
READS = 0.33
NO_ANSWER = 0

Kind = Literal["buy", "read"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: what was asked, and what came of it. Times are monotonic."""

    kind: Kind
    began: float
    ended: float
    status: int
    may_retry: bool
    #: The order's number, or where it was read.
    said: str
    #: Why it was refused, if it was.
    reason: str = ""


class Ledger:
    """All entries so far, of whatever client."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def between(
        self, since: float, until: float, kind: Kind | None = None
    ) -> Iterator[Entry]:
        """What was answered in that time."""
        for entry in list(self.entries):
            if since <= entry.ended < until and kind in (None, entry.kind):
                yield entry

    def first_good_write(self, since: float) -> float | None:
        """When the first write was acknowledged that was sent after *since*."""
        return min(
            (
                entry.ended
                for entry in list(self.entries)
                if entry.kind == "buy" and entry.status == 200 and entry.began >= since
            ),
            default=None,
        )


class Clients:
    """*each* clients for each of the sites at *ports*, until the end of the block."""

    def __init__(self, ports: Iterable[int], each: int) -> None:
        self.ledger = Ledger()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(port,))
            for port in ports
            for _ in range(each)
        ]

    def __enter__(self) -> Ledger:
        for thread in self._threads:
            thread.start()
        return self.ledger

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, port: int) -> None:
        chance = random.Random()
        while not self._stop.is_set():
            entry = _read(port) if chance.random() < READS else _buy(port, chance)
            self.ledger.entries.append(entry)
            if entry.status != 200:
                self._stop.wait(PAUSE)


def _buy(port: int, chance: random.Random) -> Entry:
    number = uuid.uuid4().hex
    event = chance.choice(EVENT_IDS)
    began = time.monotonic()
    status, may_retry, body = _ask(port, "POST", f"/api/buy/{event}?number={number}")
    ended = time.monotonic()
    return Entry("buy", began, ended, status, may_retry, number, _reason(status, body))


def _read(port: int) -> Entry:
    began = time.monotonic()
    status, may_retry, body = _ask(port, "GET", "/node")
    ended = time.monotonic()
    said = body if status == 200 else ""
    return Entry("read", began, ended, status, may_retry, said, _reason(status, body))


def _reason(status: int, body: str) -> str:
    return str(json.loads(body)["reason"]) if status == 503 else ""


def _ask(port: int, method: str, path: str) -> tuple[int, bool, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
    try:
        connection.request(method, path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException):
        return NO_ANSWER, False, ""
    finally:
        connection.close()
    return response.status, response.getheader("Retry-After") is not None, body
