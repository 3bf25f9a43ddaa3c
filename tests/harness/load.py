"""The one load generator of tests, demo and benchmarks.

It speaks HTTP/1.1 to a server on this machine and remembers, for every request, the
answer, when it came and how long the client had waited for it. `run(plan)` does this in
a process of its own, so that it shares no GIL with what it measures.

    report = run(Plan(url, clients=300, seconds=10))    # closed loop
    report = run(Plan(url, rate=800, seconds=20))       # open loop
    report = run(Plan(url, [Request("/"), Request("/buy", method="POST")], clients=50,
                      requests_each=4, keepalive=True)) # the requests in turn

    report.counts           {200: 4801, 503: 120, 0: 3}; 0 (NONE) is "no answer"
    report.failures         {"timed out": 3}: why there was none
    report.reasons          {"overloaded": 120}: of the 503s that came as JSON
    report.good_per_second, report.percentile(99, status=200)
    report.where(request=1, after=5.0).counts
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import itertools
import json
import math
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.load_http import Answer, Connection, NoAnswer, connect
from tests.harness.load_report import NONE, Report

PAUSE_AFTER_NONE = 0.05
"""Seconds. A refused connection fails within microseconds; no client may spin on it."""

PROGRESS_EVERY = 0.25
Progress = Callable[[float, Counter[int]], None]


@dataclass(frozen=True, slots=True)
class Request:
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    def message(self, host: str, keepalive: bool) -> bytes:
        headers = {"Host": host, "Connection": "keep-alive" if keepalive else "close"}
        body = self.body.encode()
        if body or self.method not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(body))
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [
            f"{name}: {value}" for name, value in (headers | dict(self.headers)).items()
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: `clients` makes a closed loop, `rate` (arrivals/s) an open one.

    In a closed loop each client sends, awaits its answer, thinks for `delay` and sends
    again. In an open loop requests arrive at fixed times whatever the answers, and a
    latency counts from the scheduled arrival. During the first `ramp` seconds clients
    join one by one, or the rate rises from nothing. When sending stops, the answers
    still under way are awaited. Connections come from `addresses` in turn, if given.
    """

    url: str
    requests: Sequence[Request] = (Request(),)
    clients: int | None = None
    rate: float | None = None
    seconds: float | None = None
    requests_each: int | None = None
    timeout: float = 30.0
    delay: float = 0.0
    ramp: float = 0.0
    keepalive: bool = False
    addresses: Sequence[str] = ()
    watch_header: str | None = None

    def __post_init__(self) -> None:
        if not self.requests:
            raise ValueError("requests must not be empty")
        if (self.clients is None) == (self.rate is None):
            raise ValueError("give either clients (closed loop) or rate (open loop)")
        if self.seconds is None and (
            self.clients is None or self.requests_each is None
        ):
            raise ValueError("give seconds, or in a closed loop requests_each")
        self.address  # noqa: B018  refuses a target elsewhere before anything is sent

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        if parts.scheme != "http" or not host or not is_loopback(host):
            raise ValueError(f"only http:// on a loopback address, not {self.url}")
        return host, parts.port or 80

    def arrivals(self) -> Iterator[float]:
        """Seconds after the start at which the requests of an open loop are due."""
        assert self.rate is not None
        assert self.seconds is not None
        within_ramp = self.rate * self.ramp / 2
        for number in itertools.count():
            if number < within_ramp:
                due = math.sqrt(2 * number * self.ramp / self.rate)
            else:
                due = self.ramp / 2 + number / self.rate
            if due >= self.seconds:
                return
            yield due


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Load:
    """A plan being carried out inside the running event loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.report = Report()
        self.host, self.port = plan.address
        netloc = urlsplit(plan.url).netloc
        self.turns = itertools.cycle(
            [
                (i, r.message(netloc, plan.keepalive))
                for i, r in enumerate(plan.requests)
            ]
        )
        self.idle: list[Connection] = []
        self.addresses = itertools.cycle([(one, 0) for one in plan.addresses] or [None])
        self.clock = asyncio.get_running_loop().time
        self.started = self.clock()
        self.counts: Counter[int] = Counter()

    async def carry_out(self, progress: Progress | None = None) -> Report:
        allow_many_sockets()
        shape = self.open_loop if self.plan.rate is not None else self.closed_loop
        telling = asyncio.create_task(self.tell(progress)) if progress else None
        try:
            await shape()
        finally:
            if telling:
                telling.cancel()
            for connection in self.idle:
                connection.transport.abort()
        self.report.until = self.plan.seconds or self.elapsed()
        return self.report

    def elapsed(self) -> float:
        return self.clock() - self.started

    async def tell(self, progress: Callable[[float, Counter[int]], None]) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY)
            progress(self.elapsed(), self.counts)

    async def closed_loop(self) -> None:
        assert self.plan.clients is not None
        apart = self.plan.ramp / self.plan.clients
        await asyncio.gather(
            *(self.client(number * apart) for number in range(self.plan.clients))
        )

    async def client(self, joins: float) -> None:
        await asyncio.sleep(joins)
        end = math.inf if self.plan.seconds is None else self.plan.seconds
        each = self.plan.requests_each
        for _ in itertools.count() if each is None else range(each):
            if self.elapsed() >= end:
                return
            status = await self.request(self.elapsed())
            if pause := max(self.plan.delay, PAUSE_AFTER_NONE if status == NONE else 0):
                await asyncio.sleep(pause)

    async def open_loop(self) -> None:
        sent = []
        for due in self.plan.arrivals():
            await asyncio.sleep(max(0, due - self.elapsed()))
            sent.append(asyncio.create_task(self.request(due)))
        await asyncio.gather(*sent)

    async def request(self, due: float) -> int:
        """Send the next request, and note what became of it."""
        kind, message = next(self.turns)
        self.report.lag = max(self.report.lag, self.elapsed() - due)
        status = NONE
        try:
            answer = await self.in_time(due, self.answer_to(message))
            status = answer.status
            self.note_headers(answer)
        except NoAnswer as reason:
            self.report.failures[str(reason)] += 1
        now = self.elapsed()
        self.report.add(status, now - due, now, kind)
        self.counts[status] += 1
        return status

    async def in_time(self, due: float, answer: Awaitable[Answer]) -> Answer:
        """`asyncio.timeout_at`, which Python 3.10 lacks."""
        task = asyncio.current_task()
        assert task is not None
        deadline = self.started + due + self.plan.timeout
        timer = asyncio.get_running_loop().call_at(deadline, task.cancel)
        try:
            return await answer
        except asyncio.CancelledError:
            if self.clock() < deadline:
                raise
            raise NoAnswer("timed out") from None
        finally:
            timer.cancel()

    async def answer_to(self, message: bytes) -> Answer:
        while self.idle and self.idle[-1].transport.is_closing():
            self.idle.pop()
        connection = (
            self.idle.pop()
            if self.idle
            else await connect(self.host, self.port, next(self.addresses))
        )
        keep = False
        try:
            answer = await connection.exchange(message)
            keep = self.plan.keepalive and answer.keepalive
            return answer
        finally:
            if keep:
                self.idle.append(connection)
            else:
                connection.transport.abort()

    def note_headers(self, answer: Answer) -> None:
        if answer.status == 503:
            self.note_refusal(answer)
        if self.plan.watch_header and (value := answer.header(self.plan.watch_header)):
            self.report.header_values[value] += 1

    def note_refusal(self, answer: Answer) -> None:
        if answer.header("Retry-After") is None:
            self.report.without_retry_after += 1
        if answer.header("Content-Type") == "application/problem+json":
            self.report.reasons[json.loads(answer.body)["reason"]] += 1


def allow_many_sockets(wanted: int = 65_536) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        except (ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def drive(plan: Plan, progress: Progress | None = None) -> Report:
    """Carry out a plan inside this process and event loop."""
    return await Load(plan).carry_out(progress)


class LoadProcess:
    """A plan carried out in a process of its own, which ends with the `with` block."""

    def __init__(self, plan: Plan) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.load"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        json.dump(asdict(plan), self.process.stdin)
        self.process.stdin.close()

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def wait(self, progress: Progress | None = None) -> Report:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if "report" in told:
                return Report.load(told["report"])
            if progress:
                progress(
                    told["elapsed"],
                    Counter({int(s): n for s, n in told["counts"].items()}),
                )
        raise RuntimeError(
            f"the load generator ended with code {self.process.wait()} and no report"
        )


def start(plan: Plan) -> LoadProcess:
    """In the background: `with start(plan) as load: ...; report = load.wait()`."""
    return LoadProcess(plan)


def run(plan: Plan, progress: Progress | None = None) -> Report:
    """Carry out a plan in a process of its own, calling progress(elapsed, counts)."""
    with start(plan) as load:
        return load.wait(progress)


def main() -> None:
    told = json.load(sys.stdin)
    plan = Plan(
        **told | {"requests": [Request(**request) for request in told["requests"]]}
    )
    gc.freeze()
    gc.set_threshold(100_000)

    def tell(elapsed: float, counts: Counter[int]) -> None:
        print(json.dumps({"elapsed": elapsed, "counts": counts}), flush=True)

    report = asyncio.run(drive(plan, tell))
    print(json.dumps({"report": report.dump()}), flush=True)


if __name__ == "__main__":
    main()
