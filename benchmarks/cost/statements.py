"""What the server counts per request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass

from MySQLdb.connections import Connection

from benchmarks.contenders import COSTING, Contender, ServerName
from benchmarks.cost.bench import Bench, Findings, command
from benchmarks.cost.requests import POOL_SIZE, ask, warm_up
from benchmarks.report import Table
from benchmarks.serving import SCHEMA, served
from tests.harness.mariadb import MariaDB

#: In this time the server gets to know of a connection that was closed.
SETTLING_SECONDS = 0.1
#: After so many the collector has freed what the warm-up's threads left connected.
SETTLING_REQUESTS = 50
SINGLE = 10

NOTE = (
    "One ORM query per request, one client, all threads warm. `Questions` counts"
    " COM_QUIT and COM_CHANGE_USER, but no COM_PING, which only `Com_admin_commands`"
    f" shows. {command('statements')}"
)


@dataclass(frozen=True, slots=True)
class Counted:
    """Of SHOW GLOBAL STATUS, less the harness's own."""

    questions: float
    admin_commands: float
    connections: float

    @classmethod
    def now(cls, database: MariaDB) -> Counted:
        time.sleep(SETTLING_SECONDS)
        return cls(
            database.status("Questions"),
            database.status("Com_admin_commands"),
            database.status("Connections"),
        )

    def since(self, before: Counted, times: int) -> Counted:
        return Counted(
            (self.questions - before.questions) / times,
            (self.admin_commands - before.admin_commands) / times,
            (self.connections - before.connections) / times,
        )

    def cells(self) -> tuple[str, ...]:
        return tuple(
            f"{round(n, 1):g}"
            for n in (self.questions, self.admin_commands, self.connections)
        )


HEADINGS = ("Questions", "Com_admin_commands", "Connections")


def measure(bench: Bench) -> Findings:
    cases = [(server, name) for server in bench.servers for name in COSTING]
    counted = {
        (server, name): per_request(
            bench.database, server, COSTING[name], bench.effort.counted_requests
        )
        for server, name in bench.steps("statements", cases, " ".join)
    }
    meaning = meaning_of_counters(bench.database)
    return Findings(
        [
            Table(
                "Statements and connections per request, as the server counts them",
                ("server", "contender", *HEADINGS),
                [
                    (server, COSTING[name].title, *one.cells())
                    for (server, name), one in counted.items()
                ],
                NOTE,
            ),
            Table(
                "What is counted",
                ("what", *HEADINGS),
                [(what, *one.cells()) for what, one in meaning.items()],
                command("statements"),
            ),
        ],
        {
            server: {name: asdict(counted[server, name]) for name in COSTING}
            for server in bench.servers
        },
    )


def per_request(
    database: MariaDB, server: ServerName, contender: Contender, requests: int
) -> Counted:
    with served(database, server, contender, pool_size=POOL_SIZE) as running:
        warm_up(running)
        ask(running, "/items/1", clients=1, each=SETTLING_REQUESTS)
        before = Counted.now(database)
        ask(running, "/items/1", clients=1, each=requests)
        return Counted.now(database).since(before, requests)


def meaning_of_counters(database: MariaDB) -> Mapping[str, Counted]:
    with closing(database.connect(database=SCHEMA, autocommit=True)) as connection:

        def ask(sql: str) -> None:
            connection.query(sql)
            connection.store_result()

        def change_user() -> None:
            connection.change_user(database.user, database.password, SCHEMA)

        return {
            what: _counted(database, action)
            for what, action in (
                ("SELECT", lambda: ask("SELECT 1")),
                ("SET", lambda: ask("SET @a = 1")),
                ("rollback", connection.rollback),
                ("COM_PING", connection.ping),
                ("COM_CHANGE_USER", change_user),
                (
                    "connect (which sets autocommit), COM_QUIT",
                    lambda: _connect(database).close(),
                ),
            )
        }


def _connect(database: MariaDB) -> Connection:
    return database.connect(database=SCHEMA, charset="utf8mb4", autocommit=True)


def _counted(database: MariaDB, action: Callable[[], object]) -> Counted:
    before = Counted.now(database)
    for _ in range(SINGLE):
        action()
    return Counted.now(database).since(before, SINGLE)
