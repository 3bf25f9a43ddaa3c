"""The list page under siege, the way django-conn-pool's README does it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.books import Connections, Counting
from demo.serving import MAX_CONNECTIONS, Backend, Serving, served
from demo.side_by_side import SideBySide
from tests.harness.mariadb import MariaDB

USERS, REPETITIONS = 1000, 2
COMMAND = ["siege", "-r", str(REPETITIONS), "-c", str(USERS), "-d", "0"]
DEADLINE_SECONDS = 90

# siege refuses more than 255 users unless told otherwise, gives up after some failures,
# and writes a log and a dotfile at home.
CONFIGURATION = f"""\
limit = {USERS + 24}
failures = 1000000
timeout = 60
verbose = true
color = off
parser = false
logging = false
protocol = HTTP/1.1
gmethod = GET
connection = close
"""

ANSWER = re.compile(r"HTTP/1\.[01] (\d{3}) +[\d.]+ secs:")
SUMMARY = re.compile(r"^([A-Z][a-z ]+):\s+([\d.]+)", re.MULTILINE)


class NoSiege(Exception):
    """siege is not installed."""


@dataclass(frozen=True, slots=True)
class Siege:
    """The statuses siege saw, and its own summary."""

    backend: Backend
    statuses: Counter[int]
    summary: dict[str, float]
    connections: Connections

    @property
    def unanswered(self) -> int:
        return USERS * REPETITIONS - self.statuses.total()

    @property
    def good_per_second(self) -> float:
        return self.statuses[200] / max(self.summary["Elapsed time"], 0.01)


def besiege(database: MariaDB, backend: Backend) -> Siege:
    # It asks for the list page alone, which does not sleep.
    with served(database, backend, Serving(work_seconds=0.0)) as server:
        counting = Counting(database)
        output = siege(f"{server.url}/")
        connections = counting.connections()
    return Siege(
        backend,
        Counter(int(status) for status in ANSWER.findall(output)),
        {name: float(number) for name, number in SUMMARY.findall(output)},
        connections,
    )


def siege(url: str) -> str:
    if shutil.which("siege") is None:
        raise NoSiege("siege is not installed; `make siege` installs it")
    with tempfile.TemporaryDirectory(prefix="pooled_db-siege-") as home:
        configuration = Path(home) / "siegerc"
        configuration.write_text(CONFIGURATION)
        finished = subprocess.run(
            [*COMMAND, "-R", str(configuration), url],
            env=os.environ | {"HOME": home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE_SECONDS,
        )
    return f"{finished.stdout}\n{finished.stderr}"


def siege_table(sieges: Sequence[Siege]) -> SideBySide:
    table = SideBySide(" ".join([*COMMAND, "/"]), [one.backend for one in sieges])
    for status, meaning in ((200, ""), (503, " (try again)"), (500, " (error)")):
        table.row(f"{status}{meaning}", *(one.statuses[status] for one in sieges))
    table.row("none", *(one.unanswered for one in sieges), section=True)
    table.row("good per second", *(f"{one.good_per_second:.0f}" for one in sieges))
    for name, unit in (
        ("Availability", "%"),
        ("Elapsed time", "s"),
        ("Response time", "s"),
        ("Longest transaction", "s"),
    ):
        figures = (f"{one.summary[name]:.2f} {unit}" for one in sieges)
        table.row(f"siege: {name.lower()}", *figures)
    table.add_section()
    most = (one.connections.most for one in sieges)
    table.row(f"most connections (limit {MAX_CONNECTIONS})", *most)
    return table
