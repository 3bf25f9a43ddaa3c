"""`make cluster`: a ticket sale on a cluster whose nodes fail, and what buyers see.

Two application processes, gunicorn and uvicorn, sell tickets on three nodes of Galera
behind HAProxy. The node that is written to is killed, frozen, cut off and set
read-only, one after the other, and brought back each time. The configuration of the
proxy and the settings of the site are those of docs/clusters.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from tests.harness.galera import Galera
from tests.harness.group_replication import GroupReplication
from tests.harness.program import run_to_the_end

from .behind import (
    Behind,
    alone_behind_router,
    galera_behind_haproxy,
    group_behind_haproxy,
)
from .faults import OF_GALERA, OF_GROUP_REPLICATION, OF_ROUTER, Fault
from .run import Result, ordeal

PICTURE = Path(__file__).parents[2] / "build" / "cluster.png"
#: Those of `make cluster`, which has four minutes.
SHOWN = 4
SPREAD_WITHIN = 60.0
CONFIGURATIONS = {
    "galera": "haproxy-galera.cfg",
    "galera-mysql-check": "haproxy-mysql-check.cfg",
    "group": "haproxy-group-replication.cfg",
    "router": "router-sharing.conf",
}

#: HAProxy's own check sees little, so there the pool asks each new connection.
SYNCED = (
    "SELECT VARIABLE_VALUE = 4 FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME = 'wsrep_local_state'"
)
OPTIONS = {"galera-mysql-check": {"pool": {"check_on_connect": SYNCED}}}

console = Console(width=110)


@contextlib.contextmanager
def cluster_of(kind: str) -> Iterator[Behind]:
    configuration = CONFIGURATIONS[kind]
    if kind == "group":
        with (
            GroupReplication() as group,
            group_behind_haproxy(group, configuration) as behind,
        ):
            yield behind
    elif kind == "router":
        with alone_behind_router() as behind:
            yield behind
    else:
        with Galera() as galera, galera_behind_haproxy(galera, configuration) as behind:
            yield behind


def faults_of(kind: str, wanted: str) -> Sequence[Fault]:
    known = {"group": OF_GROUP_REPLICATION, "router": OF_ROUTER}.get(kind, OF_GALERA)
    if wanted == "all":
        return known
    if not wanted:
        return known[:SHOWN]
    return [fault for fault in known if wanted in fault.name]


def run(options: argparse.Namespace) -> int:
    from .report import lines_of, save_picture, table_of

    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {text}", soft_wrap=True)

    say("start three nodes and HAProxy")
    with cluster_of(options.on) as behind:
        say("open the sale")
        result = ordeal(
            behind,
            faults_of(options.on, options.fault),
            say,
            options.server or ["gunicorn", "uvicorn"],
            OPTIONS.get(options.on, {}),
            SPREAD_WITHIN,
        )
    console.print(table_of(result, f"{CONFIGURATIONS[options.on]}, {told(options)}"))
    for line in lines_of(result):
        console.print(line, soft_wrap=True)
    picture = save_picture(result, options.picture)
    for site, log in result.logs.items():
        picture.with_name(f"cluster-{site}.log").write_text(log)
    console.print(f"Picture, and what the sites logged: {picture.parent}")
    return int(is_bad(result))


def told(options: argparse.Namespace) -> str:
    return " and ".join(options.server or ["gunicorn", "uvicorn"])


def is_bad(result: Result) -> bool:
    return bool(result.lost or result.stored_though_refused or result.others)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--on", choices=CONFIGURATIONS, default="galera")
    parser.add_argument("--fault", default="", help='part of a name, or "all"')
    parser.add_argument("--server", choices=["gunicorn", "uvicorn"], action="append")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    return run_to_the_end(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
