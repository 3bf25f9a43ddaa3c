"""How long a call takes, in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

MICRO = 1e6

#: Shorter than the time for which an operating system lets a process have a core.
BATCH_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds per call: of the clock on the wall, and of this process's CPU."""

    wall: float
    cpu: float


def timed(call: Callable[[], object], seconds: float) -> Timing:
    """Call it for about so long, in short batches; return the median batch.

    So it does not count when another program, or a full garbage collection, takes the
    core for a while.
    """
    number = max(1, round(BATCH_SECONDS / (_batch(call, 1).wall / MICRO)))
    end = time.perf_counter() + seconds
    batches = [_batch(call, number)]
    while time.perf_counter() < end:
        batches.append(_batch(call, number))
    return Timing(
        statistics.median(batch.wall for batch in batches),
        statistics.median(batch.cpu for batch in batches),
    )


def _batch(call: Callable[[], object], number: int) -> Timing:
    times = range(number)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in times:
        call()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Timing(wall / number * MICRO, cpu / number * MICRO)
