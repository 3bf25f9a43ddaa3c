"""Those who stand in front of a gate, and who of them is served."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable

from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import ADMITTED, Permit, Refused, State
from tests.clock import Clock


class Queue:
    """A gate whose permits are all held, and what stands in front of it."""

    def __init__(self, capacity: int = 1, **options: object) -> None:
        self.clock = Clock(0.0)
        self.gate = Gate(capacity, clock=self.clock, **options)  # type: ignore[arg-type]
        self.held = [Permit() for _ in range(capacity)]
        for permit in self.held:
            permit.begun = True
            assert self.gate.enter(permit, 60.0)

    def ask(
        self, client: Hashable, *, priority: bool = False, before: float = 0.0
    ) -> Permit:
        permit = Permit()
        permit.client = client
        permit.priority = priority
        permit.waited_before = before
        with contextlib.suppress(Refused):
            self.gate.enter(permit, 60.0, lambda: None)
        return permit

    def serve(self, waiters: list[Permit]) -> Permit:
        """Give one permit back, and return who has got it."""
        before = [one for one in waiters if one.state is ADMITTED]
        self.gate.release(self.held.pop())
        (served,) = [
            one for one in waiters if one.state is ADMITTED and one not in before
        ]
        self.held.append(served)
        return served


def state_of(permit: Permit) -> State:
    return permit.state


def clients(served: list[Permit]) -> str:
    return "".join(str(one.client) for one in served)
