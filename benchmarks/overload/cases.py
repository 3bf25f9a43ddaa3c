"""What is measured: one load, on one contender, on one server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.contenders import CONTENDERS, Contender, ServerName
from tests.harness import load

QUERY_SECONDS = 0.05
CLIENT_TIMEOUT_SECONDS = 10.0

OPEN_POOL_SIZE = 4
CLOSED_POOL_SIZE = 10
FEW_CLIENTS = CLOSED_POOL_SIZE
SOME_CLIENTS = 300
MANY_CLIENTS = 1000

#: One client with so many connections, and so many arrivals a second of as many others.
HAMMERING = 200
PATIENT = 40
#: One request in so many asks for the path with priority: a quarter of the capacity, at
#: ten times the capacity.
WITH_PRIORITY = 40
CLIENT_HEADER = "X-Real-IP"

# Without refusals, so it tells what a good answer costs.
CALM = 0.5

Load = float | Literal["closed"]
LOADS: tuple[Load, ...] = (CALM, 1.0, 2.0, 5.0, 10.0, 20.0, "closed")

#: Where it all runs: on every core, on one, or on every one with a busy process beside.
Place = Literal["all cores", "one core", "busy"]
#: What is looked at: everything, or only some of it.
Part = Literal["all", "patient", "patient by header", "priority"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An open loop of ``times`` the capacity, or a closed one of ``clients``.

    ``part`` says whose answers are looked at: those of patient clients beside one who
    hammers, told apart by their addresses or by a header, or those to a path with
    priority.
    """

    server: ServerName
    contender_name: str
    seconds: float
    times: float | None = None
    clients: int | None = None
    keepalive: bool = False
    place: Place = "all cores"
    part: Part = "all"

    @property
    def contender(self) -> Contender:
        return CONTENDERS[self.contender_name]

    @property
    def pool_size(self) -> int:
        return OPEN_POOL_SIZE if self.clients is None else CLOSED_POOL_SIZE

    @property
    def capacity(self) -> float:
        """Requests a second that the pool's connections can serve at best."""
        return self.pool_size / QUERY_SECONDS

    @property
    def rate(self) -> float | None:
        return None if self.times is None else self.times * self.capacity

    @property
    def calm(self) -> Case:
        """The same without overload."""
        if self.clients is None:
            return replace(self, times=CALM, place="all cores")
        return replace(self, clients=FEW_CLIENTS, place="all cores")

    @property
    def load_title(self) -> str:
        if self.clients is not None:
            title = f"{self.clients:,} clients"
        else:
            title = f"{self.times:g}x = {self.rate:g}/s"
        more = [
            "kept" if self.keepalive else "",
            "" if self.place == "all cores" else self.place,
            "" if self.part == "all" else self.part,
        ]
        return ", ".join([title, *filter(None, more)])

    @property
    def settings(self) -> dict[str, object]:
        """What the site has in POOLED_DB besides the contender's own."""
        if self.part == "patient by header":
            return {"CLIENT": CLIENT_HEADER}
        return {"PRIORITY": ["^first$"]} if self.part == "priority" else {}

    def plan(self, url: str) -> load.Plan:
        requests: Sequence[load.Request] = (load.Request(),)
        addresses: Sequence[str] = ()
        others = range(1, PATIENT + 1)
        if self.part == "patient":
            addresses = [f"127.0.1.{number}" for number in others]
        elif self.part == "patient by header":
            requests = [_from(f"198.51.100.{number}") for number in others]
        elif self.part == "priority":
            requests = [load.Request("/first")]
            requests += [load.Request()] * (WITH_PRIORITY - 1)
        return load.Plan(
            url,
            requests,
            rate=self.rate,
            clients=self.clients,
            seconds=self.seconds,
            timeout=CLIENT_TIMEOUT_SECONDS,
            keepalive=self.keepalive,
            addresses=addresses,
        )

    def hammering(self, url: str) -> load.Plan | None:
        """What another client does meanwhile."""
        if not self.part.startswith("patient"):
            return None
        return load.Plan(
            url,
            [_from("192.0.2.1")],
            clients=HAMMERING,
            seconds=self.seconds + 1,
            timeout=CLIENT_TIMEOUT_SECONDS,
        )


def _from(address: str) -> load.Request:
    return load.Request(headers={CLIENT_HEADER: address})


def cases(
    servers: Sequence[ServerName],
    contenders: Sequence[str],
    loads: Sequence[Load],
    seconds: float,
) -> Iterator[Case]:
    """Each load on all contenders in turn, so that those to compare are neighbours."""
    for server in servers:
        for one in loads:
            shapes: list[dict[str, float]] = (
                [{"clients": FEW_CLIENTS}, {"clients": MANY_CLIENTS}]
                if one == "closed"
                else [{"times": float(one)}]
            )
            for shape in shapes:
                for keepalive in (False, True) if _overloads(shape) else (False,):
                    for name in contenders:
                        yield Case(
                            server=server,
                            contender_name=name,
                            seconds=seconds,
                            keepalive=keepalive,
                            **shape,  # type: ignore[arg-type]
                        )
        yield from _other_cases(server, contenders, seconds)


def _overloads(shape: dict[str, float]) -> bool:
    return shape.get("times", 0) > 1 or shape.get("clients", 0) > FEW_CLIENTS


def _other_cases(
    server: ServerName, contenders: Sequence[str], seconds: float
) -> Iterator[Case]:
    """On a machine that is short of cores, and beside a client that hammers."""
    for name in contenders:
        case = Case(server=server, contender_name=name, seconds=seconds, times=10.0)
        yield replace(case, place="one core")
        yield replace(case, place="busy")
        yield replace(case, times=0.5, part="patient")
        if name == "door":
            yield replace(case, times=0.5, part="patient by header")
            yield replace(case, part="priority")
