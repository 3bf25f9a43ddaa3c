"""The ticket sale on two processes and a cluster, and one fault after another."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.serving import ROOT
from tests.harness.processes import poll
from tests.harness.servers import AppServer, gunicorn, uvicorn

from .behind import Behind
from .faults import Fault
from .ledger import NO_ANSWER, Clients, Ledger

CLIENTS = 12
TICKETS = 1_000_000
WARM_UP = 5.0
#: Seconds for which a fault lasts after the proxy has decided, and before the next.
LASTS, REST = 6.0, 5.0
#: The proxy may never decide: its check does not see every fault.
LONGEST_UNDECIDED = 12.0
#: From when on after the proxy's decision refusals are to have ended.
GRACE = 2.0
SPREAD_SECONDS = 10.0
LOOK_EVERY = 0.05
CLUSTER = "tests.cluster.settings"

Say = Callable[[str], None]


@dataclass
class Ordeal:
    """One fault of one node, and what the clients saw of it. Times are monotonic."""

    fault: str
    node: str
    began: float
    #: When the proxy had left the node and had another, if it ever had.
    decided: float | None = None
    #: When the other nodes went on without it, if they had to: until then they wait for
    #: it at each commit, whatever the proxy does.
    parted: float | None = None
    #: When the proxy had somebody again, if it had nobody meanwhile.
    readmitted: float | None = None
    healed: float = 0.0
    served: float = 0.0
    ended: float = 0.0
    first_good: float | None = None
    statuses: Counter[int] = field(default_factory=Counter)
    #: Of the writes between GRACE after the decision and the healing, if there are any.
    refused_after: float | None = None
    #: Why reads were refused, which any of the nodes could have answered.
    reads_refused: Counter[str] = field(default_factory=Counter)

    @property
    def known(self) -> float:
        """When there was somebody to write to again, and the proxy knew it."""
        if self.decided is None:
            return max(self.served, self.readmitted or 0.0)
        return max(self.decided, self.parted or 0.0)


@dataclass
class Result:
    ledger: Ledger
    began: float = 0.0
    ended: float = 0.0
    ordeals: list[Ordeal] = field(default_factory=list)
    lost: int = 0
    stored_though_refused: int = 0
    spread_before: Counter[str] = field(default_factory=Counter)
    spread_after: Counter[str] = field(default_factory=Counter)
    #: Seconds from the last return of a node until each gave a fifth of the answers.
    spread_took: float | None = None
    names: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    #: What each site has logged.
    logs: dict[str, str] = field(default_factory=dict)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(entry.status for entry in self.ledger.entries)

    @property
    def others(self) -> int:
        """Answers that are neither good nor a refusal."""
        return sum(n for status, n in self.statuses.items() if status not in (200, 503))


@contextlib.contextmanager
def selling(
    behind: Behind, options: dict[str, Any], kinds: Sequence[str]
) -> Iterator[list[AppServer]]:
    """Open the sale, and serve it by one process of each of *kinds*."""
    schema = behind.writer().database("shop")
    schema["OPTIONS"] = {**schema.get("OPTIONS", {}), **options}
    here = {
        "default": behind.through("write", schema),
        "readers": behind.through("read", schema),
    }
    env = {
        "CLUSTER_DATABASES": json.dumps(here),
        "DJANGO_SETTINGS_MODULE": CLUSTER,
        "DEMO_WORK_SECONDS": "0.02",
        "TEST_DOOR": "1",
    }
    for command in (["migrate"], ["open_sale", f"--tickets={TICKETS}"]):
        subprocess.run(
            [sys.executable, "-m", "django", *command, "--verbosity=0"],
            env=os.environ | env,
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    quiet = ["--log-level", "warning"]
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                gunicorn("tests.wsgi:application", threads=64, env=env, cwd=ROOT)
                if kind == "gunicorn"
                else uvicorn("tests.asgi:application", env=env, cwd=ROOT, args=quiet)
            )
            for kind in kinds
        ]


class ProxyWatch:
    """Notes when the proxy's idea of who can be written to changes."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.up: list[tuple[float, frozenset[str]]] = []

    def __enter__(self) -> ProxyWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def decided(self, node: str, since: float) -> float | None:
        """When, after *since*, it had left *node* and had another."""
        for at, up in list(self.up):
            if at >= since and up and node not in up:
                return at
        return None

    def readmitted(self, since: float) -> float | None:
        """When, after *since*, it had somebody after it had nobody."""
        return next((at for at, up in list(self.up) if at >= since and up), None)

    def _run(self) -> None:
        known: frozenset[str] | None = None
        while not self._stop.wait(LOOK_EVERY):
            states = self._behind.proxy.states("write")
            up = frozenset(n for n, state in states.items() if state.startswith("UP"))
            if up != known:
                known = up
                self.up.append((time.monotonic(), up))


def ordeal(
    behind: Behind,
    faults: Sequence[Fault],
    say: Say,
    kinds: Sequence[str],
    options: dict[str, Any],
    spread_within: float,
) -> Result:
    """Let *faults* befall the node that is written to, one after the other."""
    with selling(behind, options, kinds) as sites:
        clients = Clients([site.port for site in sites], CLIENTS)
        with ProxyWatch(behind) as watch, clients as ledger:
            result = Result(ledger, began=time.monotonic())
            result.names = {str(port): name for port, name in behind.names.items()}
            time.sleep(WARM_UP)
            result.spread_before = _spread(ledger, time.monotonic())
            for fault in faults:
                result.ordeals.append(_befall(behind, fault, watch, ledger, say))
            _await_spread(result, spread_within, say)
            result.ended = time.monotonic()
        result.logs = {
            kind: site.log() for kind, site in zip(kinds, sites, strict=True)
        }
        result.errors = [
            error for log in result.logs.values() for error in _errors(log)
        ]
    for one in result.ordeals:
        _judge(one, result.ledger)
    _audit(result, behind)
    return result


def _befall(
    behind: Behind, fault: Fault, watch: ProxyWatch, ledger: Ledger, say: Say
) -> Ordeal:
    node = behind.writer()
    name = behind.names[node.port]
    one = Ordeal(fault.name, name, time.monotonic())
    fault.harm(behind.cluster, node)
    say(f"{name} is {fault.name}")

    def settled() -> bool:
        if fault.parts and one.parted is None and behind.cluster.is_without(node):
            one.parted = time.monotonic()
        one.decided = watch.decided(name, one.began)
        parted = one.parted is not None or not fault.parts
        return one.decided is not None and parted

    poll(settled, LONGEST_UNDECIDED)
    time.sleep(LASTS)
    one.healed = time.monotonic()
    fault.heal(behind.cluster, node)
    one.served = time.monotonic()
    say(f"{name} is back after {one.served - one.healed:.1f} s")
    time.sleep(REST)
    one.ended = time.monotonic()
    one.readmitted = watch.readmitted(one.healed)
    counts = Counter(e.status for e in ledger.between(one.began, one.ended))
    say(f"  answers: {told(counts)}")
    reasons = Counter((e.kind, e.reason) for e in ledger.between(one.began, one.ended))
    for (kind, reason), number in sorted(reasons.items()):
        if reason:
            say(f"  {number} x {kind} refused: {reason}")
    return one


def _judge(one: Ordeal, ledger: Ledger) -> None:
    entries = list(ledger.between(one.began, one.ended))
    one.statuses = Counter(entry.status for entry in entries)
    one.reads_refused = Counter(e.reason for e in entries if e.kind == "read")
    del one.reads_refused[""]
    one.first_good = ledger.first_good_write(one.known)
    writes = list(ledger.between(one.known + GRACE, one.healed, "buy"))
    refused = sum(entry.status != 200 for entry in writes)
    if writes:
        one.refused_after = refused / len(writes)


def _spread(ledger: Ledger, now: float) -> Counter[str]:
    """Which nodes the reads of the last seconds have come from."""
    since = now - min(SPREAD_SECONDS, WARM_UP)
    return Counter(
        entry.said for entry in ledger.between(since, now, "read") if entry.said
    )


def _await_spread(result: Result, seconds: float, say: Say) -> None:
    """Wait for at most *seconds* until each node gives a fifth of the answers."""
    since = result.ordeals[-1].served if result.ordeals else result.began

    def even() -> bool:
        spread = _spread(result.ledger, time.monotonic())
        least = min(spread[port] for port in result.names)
        return least >= spread.total() / 5 and spread.total() > 0

    is_even = poll(even, max(0.0, since + seconds - time.monotonic()))
    if is_even:
        result.spread_took = time.monotonic() - since
    result.spread_after = _spread(result.ledger, time.monotonic())
    say(f"the nodes' shares of the answers: {shares(result, result.spread_after)}")


def _audit(result: Result, behind: Behind) -> None:
    """Compare what the clients were told with what is stored."""
    rows = behind.writer().ask("SELECT number FROM shop.tickets_order")
    stored = {str(row["number"]).replace("-", "") for row in rows}
    for entry in result.ledger.entries:
        if entry.kind == "buy":
            result.lost += entry.status == 200 and entry.said not in stored
            result.stored_though_refused += entry.may_retry and entry.said in stored


def _errors(log: str) -> Iterator[str]:
    """The last lines of the tracebacks in a site's log, which say what went wrong."""
    for line in log.splitlines():
        name, _, rest = line.partition(": ")
        if rest and name.endswith("Error") and " " not in name:
            yield line[:160]


def told(counts: Counter[int]) -> str:
    named = {NO_ANSWER: "none"}
    return ", ".join(f"{n} x {named.get(s, s)}" for s, n in sorted(counts.items()))


def shares(result: Result, spread: Counter[str]) -> str:
    total = max(1, spread.total())
    return ", ".join(
        f"{name} {spread[port] / total:.0%}" for port, name in result.names.items()
    )
