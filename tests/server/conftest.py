"""Every test here has the database server."""

from __future__ import annotations

import pytest

from tests import database_server


@pytest.fixture(scope="session", autouse=True)
def server_is_started() -> None:
    database_server.start()
