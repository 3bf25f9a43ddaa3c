"""What Django finds unusable is not lent again."""

from __future__ import annotations

from unittest import mock

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db(transaction=True)


def lent_next() -> int:
    connection.ensure_connection()
    return int(connection.connection.thread_id())


def test_a_connection_that_fails_its_health_check_is_closed() -> None:
    before = lent_next()
    connection.health_check_enabled = True  # type: ignore[attr-defined]
    connection.health_check_done = False  # type: ignore[attr-defined]
    with mock.patch.object(connection, "is_usable", return_value=False):
        connection.close_if_health_check_failed()
    assert lent_next() != before


@pytest.mark.parametrize(
    ("errors", "usable", "is_kept"),
    [(True, True, True), (True, False, False), (False, False, True)],
)
def test_one_is_closed_after_errors_unless_it_works(
    errors: bool, usable: bool, is_kept: bool
) -> None:
    before = lent_next()
    connection.errors_occurred = errors
    connection.close_at = 0
    with mock.patch.object(connection, "is_usable", return_value=usable):
        connection.close_if_unusable_or_obsolete()
    assert (lent_next() == before) is is_kept
