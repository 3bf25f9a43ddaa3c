"""Where a connection was taken: what lies between the site's code and the pool."""

from __future__ import annotations

import sys
import threading
from types import FunctionType

import pytest

from pooled_db.pool.origin import Origin, origin


@pytest.mark.parametrize(
    ("module", "is_passed_over"),
    [
        ("pooled_db.request.scope", True),
        ("django.db.models.query", True),
        ("asgiref.sync", True),
        ("contextlib", True),
        ("functools", True),
        ("shop.views", False),
        (None, False),
        ("django_filters.views", False),
    ],
)
def test_the_line_is_told_that_is_the_sites_own(
    module: str | None, is_passed_over: bool
) -> None:
    def asks_for_it() -> Origin:
        return origin()

    def site() -> Origin:
        found: Origin = between()
        return found

    names = {"__name__": module, "origin": origin}
    between = FunctionType(asks_for_it.__code__, names)
    place, line = site(), sys._getframe().f_lineno
    assert place.code is (site if is_passed_over else asks_for_it).__code__
    assert place.code.co_firstlineno < place.line < line
    assert place.thread == threading.current_thread().name
