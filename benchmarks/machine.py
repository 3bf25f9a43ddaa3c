"""On what a benchmark ran: versions and hardware, without which figures say little."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import closing
from importlib import metadata
from pathlib import Path

from tests.harness.mariadb import MariaDB

PACKAGES = (
    "pooled-db",
    "Django",
    "SQLAlchemy",
    "mysqlclient",
    "django-db-connection-pool",
    "gunicorn",
    "uvicorn",
    "uvloop",
)


def versions(database: MariaDB) -> dict[str, str]:
    with closing(database.connect()) as connection:
        server = connection.get_server_info()
    return {
        "revision": _revision(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "MariaDB": server.removesuffix("-MariaDB").partition("-MariaDB")[0],
    }


def _revision() -> str:
    """Of this checkout, marked if something in it was changed."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def revision() -> str:
    """The git revision that is measured, with a mark if the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    told = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def machine() -> dict[str, str | int]:
    """Of Linux; the server and the load generator share it."""
    return {
        "cpu": _first(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _gibibytes(_first(Path("/proc/meminfo"), r"MemTotal:\s*(\d+)")),
        "system": platform.system(),
    }


def _first(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.read_text())
    return found[1].strip() if found else "unknown"


def _gibibytes(kibibytes: str) -> str:
    if not kibibytes.isdigit():
        return kibibytes
    return f"{int(kibibytes) / 1024**2:.0f} GiB"
