"""One soak of one server: load, faults by chance, audit."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.harness.processes import poll
from tests.sites import Kind

from .audit import violations
from .bank import POOL_SIZE, Bank, open_bank
from .clients import Clients, Outcome
from .faults import World, by_chance
from .watching import Watch

CLIENTS = 12
WARM_UP = 3.0
#: Seconds until the first good answer after a fault: what is under way may first have
#: to time out, at read_timeout and connect_timeout, and the server's zombies at a lock.
RECOVERY = 6.0
#: MiB. By 1 to 2 each process grows without a leak: threads keep their arenas, and the
#: allocator its fragments.
GROWTH = 8.0

Say = Callable[[str], None]


@dataclass
class Result:
    kind: Kind
    seed: int
    seconds: float = 0.0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    #: Seconds from the end of each fault to the first good answer, by fault.
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    most_connections: int = 0
    growth: float = 0.0
    memory: float = 0.0
    violations: list[str] = field(default_factory=list)

    def table(self) -> Iterator[str]:
        yield f"{self.kind}, {self.seconds:.0f} s, seed {self.seed}"
        for outcome in Outcome:
            yield f"  {self.outcomes[outcome]:>8,}  {outcome.value}"
        yield "  faults: times, then seconds to the first good answer, median and most"
        for fault, times in sorted(self.recoveries.items()):
            yield (
                f"  {len(times):>4}  {statistics.median(times):6.2f} {max(times):6.2f}"
                f"  {fault}"
            )
        yield f"  most connections: {self.most_connections} of {POOL_SIZE}"
        yield f"  memory: {self.memory:.1f} MiB, {self.growth:+.1f} since the warm-up"
        yield from (f"  VIOLATION: {violation}" for violation in self.violations)
        yield "  " + ("FAILED" if self.violations else "all promises kept")


def soak(kind: Kind, *, seconds: float, seed: int, say: Say = print) -> Result:
    """Let everything fail for *seconds*, and return what came of it."""
    result = Result(kind, seed)
    try:
        with open_bank(kind) as bank:
            _run(bank, result, seconds, say)
            if result.violations:
                say(bank.site.server.log()[-20_000:])
    except AssertionError as error:
        result.violations.append(f"not at rest at the end: {error}")
    return result


def _run(bank: Bank, result: Result, seconds: float, say: Say) -> None:
    with (
        Watch(bank.site.server.pid, bank.proxy.port, limit=POOL_SIZE) as watch,
        Clients(bank.site.server.port, CLIENTS, result.seed) as clients,
    ):
        began = time.monotonic()
        time.sleep(WARM_UP)
        warm = time.monotonic()
        _do_harm(bank, clients, result, began + seconds, say)
        result.seconds = time.monotonic() - began
    result.outcomes = clients.counts()
    result.most_connections = watch.most_connections
    result.memory = watch.memory[-1][1]
    result.growth = watch.growth(warm)
    result.violations += _of_watching(result)
    result.violations += violations(bank, clients.transfers)


def _of_watching(result: Result) -> Iterator[str]:
    if result.most_connections > POOL_SIZE:
        yield f"{result.most_connections} connections at a time"
    if result.growth > GROWTH:
        yield f"memory grew by {result.growth:.1f} MiB"


def _do_harm(
    bank: Bank, clients: Clients, result: Result, until: float, say: Say
) -> None:
    chance = random.Random(result.seed)
    world = World(bank.server, bank.proxy, chance)
    for fault in by_chance(chance):
        if time.monotonic() >= until:
            return
        name = fault.__doc__ or fault.__name__
        fault(world)
        bank.proxy.forward()
        over = time.monotonic()
        recovered = _is_good_again(clients, over)
        took = time.monotonic() - over
        result.recoveries.setdefault(name, []).append(took)
        counts = clients.counts()
        say(
            f"{result.kind}, {max(0.0, until - over):3.0f} s left: "
            f"{name}; good again after {took:.2f} s; "
            f"{counts[Outcome.DONE] + counts[Outcome.LOOKED]:,} done, "
            f"{counts[Outcome.DOUBT]:,} in doubt, "
            f"{counts[Outcome.RETRY]:,} to be tried again"
        )
        if not recovered:
            result.violations.append(f"no good answer {RECOVERY:g} s after: {name}")
            return
        world.for_a_moment(0.8)


def _is_good_again(clients: Clients, since: float) -> bool:
    return poll(lambda: clients.last_good > since, RECOVERY)
