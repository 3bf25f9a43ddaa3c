"""Every test here has the database server."""

from __future__ import annotations

import pytest
from django.db import connections

from pooled_db import pools
from pooled_db.pool.pool import Pool
from tests import database_server


@pytest.fixture(scope="session", autouse=True)
def server_is_started() -> None:
    database_server.start()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Pool:
    """That of the default alias, in this process, for which nobody waits in vain."""
    connections["default"].close()
    pool = pools.for_alias("default")
    monkeypatch.setattr(pool, "timeout", 30.0)
    return pool
