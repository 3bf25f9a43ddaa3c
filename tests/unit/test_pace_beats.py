"""How often it is looked at who may leave, and what happens if that fails."""

from __future__ import annotations

import asyncio

import pytest

from pooled_db.request.pace import HeldBack, Pace
from tests.harness.interrupts import Interrupted
from tests.virtual_loop import VirtualLoop


@pytest.fixture
def pace(loop: VirtualLoop) -> Pace:
    return Pace(loop)


def test_all_is_looked_at_every_20_ms(
    loop: VirtualLoop, pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[float] = []

    def look_after(now: float) -> bool:
        looked.append(now)
        return len(looked) < 4

    monkeypatch.setattr(pace, "_look_after", look_after)

    async def scenario() -> None:
        await pace.hold(None)
        await asyncio.sleep(1.0)

    loop.run_until_complete(scenario())
    assert looked == pytest.approx([0.02, 0.04, 0.06, 0.08])


@pytest.mark.parametrize("error", [ZeroDivisionError, Interrupted])
def test_nobody_waits_for_a_beat_that_fails_or_is_interrupted(
    loop: VirtualLoop,
    pace: Pace,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    held = [HeldBack(loop.create_future(), loop.now, None) for _ in range(2)]
    pace._fresh.extend(held)

    def fail(now: float) -> bool:
        raise error

    monkeypatch.setattr(pace, "_look_after", fail)
    with pytest.raises(error):
        pace._beat()
    assert all(one.leaves.done() for one in held)
