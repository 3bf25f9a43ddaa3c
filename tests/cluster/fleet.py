"""`make fleet`: many processes share one server's `max_connections`.

A MySQL takes 20 connections; each request holds one for 50 ms. The processes are sized
as the documentation says, or take what they can get, directly or through a MySQL Router
that shares connections; they come and go, and some are idle with connections of their
own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.harness.mysql import MySQL
from tests.harness.program import run_to_the_end

from .sharing import (
    BUDGET,
    CLIENTS,
    SET_UPS,
    Row,
    beside_idle_ones,
    measured,
    rolling_restart,
)

console = Console(width=110)


def table_of(rows: Sequence[Row]) -> Table:
    table = Table(
        title=f"{CLIENTS} clients, 50 ms in the database, max_connections {BUDGET}",
        title_justify="left",
    )
    table.add_column("processes x pool_size")
    for name in ("good/s", "503", "500", "none", "refused", "unavailable", "least"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.statuses[200] / row.seconds:.0f}",
            str(row.statuses[503]),
            str(row.statuses[500]),
            str(row.statuses[0]),
            f"{row.refused:.1%}",
            f"{row.unavailable:.0%}",
            f"{row.least_share:.0%}",
        )
    return table


def run(only: str) -> int:
    rows: list[Row] = []
    with MySQL(max_connections=BUDGET) as server:
        for set_up in SET_UPS:
            if only in set_up.name:
                console.print(f"{set_up.name} ...")
                rows.append(measured(set_up, server))
        if only in "rolling":
            console.print("a rolling restart ...")
            rows.append(rolling_restart(server))
        if only in "idle":
            console.print("beside idle processes ...")
            rows.append(beside_idle_ones(server))
    console.print(table_of(rows))
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", soft_wrap=True)
    console.print("unavailable: of the refusals; least: of its share, the process with")
    console.print("least good answers has so much")
    return int(any(row.statuses[500] for row in rows))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fleet", description=__doc__)
    parser.add_argument("--only", default="", help="part of a set-up's name")
    options = parser.parse_args()
    return run_to_the_end(lambda: run(options.only))


if __name__ == "__main__":
    sys.exit(main())
