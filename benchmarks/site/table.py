"""The table of items, made without Django."""

from __future__ import annotations

from contextlib import closing

from tests.harness.mariadb import MariaDB

MOST_QUERIES = 10


def make_items(database: MariaDB, schema: str) -> None:
    database.database(schema)
    rows = ", ".join(f"({key}, 'item {key}')" for key in range(MOST_QUERIES))
    with closing(database.admin(database=schema)) as connection:
        connection.query(
            "CREATE TABLE item (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL)"
        )
        connection.query(f"INSERT INTO item VALUES {rows}")
