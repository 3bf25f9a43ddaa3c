"""A site that transfers money, behind a proxy, on a server that keeps its promises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.harness.mariadb import MariaDB
from tests.harness.proxy import Proxy
from tests.sites import Kind, Site, make_tables, serve

from .clients import ACCOUNTS

DATABASE = "bank"
OPENING_BALANCE = 1_000_000
POOL_SIZE = 4

#: What was committed outlives a SIGKILL of the server. The machine stays up, so what
#: the server has written need not reach the disk.
DURABLE = (
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-doublewrite=1",
    "--innodb-lock-wait-timeout=1",
)

#: In seconds. A statement may wait for a lock for one.
OPTIONS = {
    "pool": {"pool_size": POOL_SIZE, "timeout": 1},
    "connect_timeout": 1,
    "read_timeout": 2,
}

SITE = {
    "ROOT_URLCONF": "tests.soak.urls",
    "INSTALLED_APPS": ["pooled_db", "tests.site", "tests.soak"],
}


@dataclass
class Bank:
    site: Site
    proxy: Proxy
    server: MariaDB

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the server directly, in a transaction of its own."""
        with (
            contextlib.closing(self.server.connect(database=DATABASE)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            rows = list(cursor.fetchall())
            connection.commit()
        return rows


@contextlib.contextmanager
def open_bank(kind: Kind) -> Iterator[Bank]:
    with MariaDB(options=DURABLE) as server, Proxy(server.port) as proxy:
        database = server.database(DATABASE)
        make_tables(database, **SITE)
        behind = proxy.through(database)
        with serve(
            kind, database=behind, threads=24, door=True, options=OPTIONS, **SITE
        ) as site:
            bank = Bank(site, proxy, server)
            rows = ", ".join(
                f"({number}, {OPENING_BALANCE})" for number in range(1, ACCOUNTS + 1)
            )
            bank.ask(f"INSERT INTO soak_account (id, balance) VALUES {rows}")
            yield bank
