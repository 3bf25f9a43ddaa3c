"""The short form of `make soak`."""

from __future__ import annotations

import random

import pytest

from tests.database_server import SERVER
from tests.sites import Kind
from tests.soak.run import soak

pytestmark = pytest.mark.skipif(
    not SERVER.is_mariadb, reason="the proxy looks for COMMIT, which TLS hides"
)


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_a_bank_keeps_its_books_while_everything_fails_by_chance(kind: Kind) -> None:
    result = soak(kind, seconds=12, seed=random.randrange(10**6))

    print("\n".join(result.table()))
    assert result.violations == []
