"""Which application servers are installed here."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest


def is_installed(kind: str) -> bool:
    if kind == "uwsgi":
        return shutil.which("uwsgi", path=str(Path(sys.executable).parent)) is not None
    modules = {"gunicorn gevent": ("gunicorn", "gevent", "pymysql")}
    wanted = modules.get(kind, (kind.partition(" ")[0],))
    return all(importlib.util.find_spec(module) is not None for module in wanted)


def needs(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not is_installed(kind), reason=f"{kind} is not installed: make matrix"
    )
