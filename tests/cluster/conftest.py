"""Clusters take seconds to start: each is shared by the tests of its module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.mysql import MySQL
from tests.harness.router import Router


@pytest.fixture(scope="module")
def mysql() -> Iterator[MySQL]:
    with MySQL(max_connections=20) as server:
        yield server


@pytest.fixture
def router(mysql: MySQL) -> Iterator[Router]:
    with Router(mysql) as router:
        yield router
