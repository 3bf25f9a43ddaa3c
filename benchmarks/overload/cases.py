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
MANY_CLIENTS = 1000

# Without refusals, so it tells what a good answer costs.
CALM = 0.5

Load = float | Literal["closed"]
LOADS: tuple[Load, ...] = (CALM, 1.0, 2.0, 5.0, 10.0, "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An open loop of ``times`` the capacity, or a closed one of ``clients``."""

    server: ServerName
    contender_name: str
    seconds: float
    times: float | None = None
    clients: int | None = None

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
            return replace(self, times=CALM)
        return replace(self, clients=FEW_CLIENTS)

    @property
    def load_title(self) -> str:
        if self.clients is not None:
            return f"{self.clients:,} clients"
        return f"{self.times:g}x = {self.rate:g}/s"

    def plan(self, url: str) -> load.Plan:
        return load.Plan(
            url,
            rate=self.rate,
            clients=self.clients,
            seconds=self.seconds,
            timeout=CLIENT_TIMEOUT_SECONDS,
        )


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
                for name in contenders:
                    yield Case(
                        server=server,
                        contender_name=name,
                        seconds=seconds,
                        **shape,  # type: ignore[arg-type]
                    )
