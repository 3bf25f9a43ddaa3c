"""The server's tables of time zones: without them it converts none, and tests fail."""

from __future__ import annotations

import os
import subprocess

from tests.harness.mariadb import MariaDB

ZONES = "/usr/share/zoneinfo"


def load_time_zones(server: MariaDB) -> None:
    statements = subprocess.run(
        ["mariadb-tzinfo-to-sql", ZONES],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a word on each file there that is no time zone
        check=True,
    ).stdout
    account = [f"--socket={server.socket}", f"--user={server.user}"]
    subprocess.run(
        ["mariadb", "--no-defaults", *account, "mysql"],
        input=statements,
        env={**os.environ, "MYSQL_PWD": server.password},
        check=True,
    )
