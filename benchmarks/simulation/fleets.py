"""Fleets that one machine cannot show: who gets how much, and how soon.

python -m benchmarks.simulation.fleets    a table as Markdown, in some minutes
"""

from __future__ import annotations

import logging
import multiprocessing

from benchmarks.simulation.fleet import Fleet, Seen, Simulated

FOREVER = float("inf")
PROCESSES = 1000
THOUSAND = {"capacity": 5, "clients": 3, "think": 0.2, "duration": 40.0, "hosts": 100}


def _waves() -> tuple[tuple[float, float], ...]:
    """Old processes end in ten waves, each two seconds after new ones have started."""
    old = [(0.0, 12.0 + 2.0 * (number % 10)) for number in range(PROCESSES)]
    new = [(10.0 + 2.0 * (number % 10), FOREVER) for number in range(PROCESSES)]
    return (*old, *new)


FLEETS = (
    Fleet("4 processes, sized", ((0, FOREVER),) * 4, 5, 20, 15),
    Fleet("4 processes that want twice as much", ((0, FOREVER),) * 4, 10, 20, 15),
    Fleet("4 of one host that want it", ((0, FOREVER),) * 4, 10, 20, 15, hosts=1),
    Fleet(
        "2 of 4 come 5 s late, to a full server",
        ((0, FOREVER), (0, FOREVER), (5, FOREVER), (5, FOREVER)),
        10,
        20,
        15,
    ),
    Fleet(
        "1,000 start at once, room for a third",
        ((0, FOREVER),) * PROCESSES,
        budget=1667,
        **THOUSAND,  # type: ignore[arg-type]
    ),
    Fleet(
        "1,000 are replaced in ten waves, room for 1.1 connections each",
        _waves(),
        budget=1100,
        **THOUSAND,  # type: ignore[arg-type]
    ),
    Fleet(
        "500 become 1,000 at 15 s, the server is full",
        (*((0.0, FOREVER),) * 500, *((15.0, FOREVER),) * 500),
        budget=750,
        **THOUSAND,  # type: ignore[arg-type]
    ),
    Fleet(
        "1,000 lose the server for 5 s at 15 s",
        ((0, FOREVER),) * PROCESSES,
        budget=1667,
        down=(15.0, 20.0),
        **THOUSAND,  # type: ignore[arg-type]
    ),
)

COLUMNS = (
    "fleet",
    "good/s in the last 10 s",
    "refused, of all",
    "unavailable, of all",
    "connects/s, most",
    "refused connects/s, most and in the last 10 s",
    "first answer after, half / 99 % / all",
    "connections at the end, least / half / most",
)


def row(fleet: Fleet, seen: Seen) -> tuple[str, ...]:
    """Sum one fleet up."""
    last = range(int(fleet.duration) - 10, int(fleet.duration))
    good = sum(seen.good[second] for second in last) / 10
    refused = sum(seen.refused.values())
    asked = refused + sum(seen.good.values())
    unavailable = seen.refused["unavailable"] + seen.refused["connection_lost"]
    starts = [start for start, _ in fleet.lives]
    waits = sorted(
        seen.first_good.get(number, FOREVER) - start
        for number, start in enumerate(starts)
        if start < fleet.duration - 5
    )
    living = [
        connections
        for connections, (_, end) in zip(seen.shares[-1], fleet.lives, strict=True)
        if end > fleet.duration
    ]
    shares = sorted(living)
    rejected = sum(seen.rejected[second] for second in last) / 10
    late = waits[int(len(waits) * 0.99)]
    return (
        fleet.name,
        f"{good:,.0f}",
        f"{refused / asked:.2%}",
        f"{unavailable / asked:.2%}",
        f"{max(seen.opened.values()):,}",
        f"{max(seen.rejected.values(), default=0):,}, {rejected:,.0f}",
        f"{waits[len(waits) // 2]:.1f} / {late:.1f} / {waits[-1]:.1f} s",
        f"{shares[0]} / {shares[len(shares) // 2]} / {shares[-1]}",
    )


def _play(fleet: Fleet) -> tuple[str, ...]:
    logging.disable(logging.WARNING)
    return row(fleet, Simulated(fleet).run())


def main() -> None:
    print("| " + " | ".join(COLUMNS) + " |")
    print("| --- " * len(COLUMNS) + "|")
    with multiprocessing.Pool() as pool:
        for cells in pool.imap(_play, FLEETS):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
