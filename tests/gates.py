"""Gates on a clock of their own, and who holds and waits for their permits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.gate import Gate
from pooled_db.pool.permit import Permit, Refused

LONG = 1_000_000.0
PATIENCE = 10.0  # real seconds after which a thread counts as stuck


class Clock:
    """Time that passes when the test says so, or a *step* with each reading."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 100.0
        self.step = step
        self.at_next_reading: Callable[[], object] | None = None

    def __call__(self) -> float:
        action, self.at_next_reading = self.at_next_reading, None
        if action is not None:
            action()
        self.now += self.step
        return self.now


class AnnouncingGate(Gate):
    """Says when somebody has begun to wait, so that others can act at that moment."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        super().__init__(capacity, clock=clock)
        self.begun = threading.Semaphore(0)

    def next_review(self, permit: Permit) -> float:
        self.begun.release()
        return super().next_review(permit)

    def await_begun(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE)


def start(function: Callable[[], Any]) -> Future[Any]:
    """Call *function* in a daemon thread, which a failing test can leave behind."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def ignore() -> None:
    """Be woken, and do nothing."""


def hold(gate: Gate) -> Permit:
    permit = Permit()
    assert gate.enter(permit, 0, ignore)
    return permit


def queue(gate: Gate, timeout: float = LONG) -> Permit:
    permit = Permit()
    assert not gate.enter(permit, timeout, ignore)
    return permit


def refusal(gate: Gate, timeout: float = LONG) -> Reason:
    with pytest.raises(Refused) as refused:
        gate.enter(Permit(), timeout, ignore)
    assert refused.value.waited == 0.0
    return refused.value.reason
