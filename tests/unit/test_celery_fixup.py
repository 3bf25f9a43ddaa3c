"""By what Celery's Django fix-up is known."""

from __future__ import annotations

from typing import Any

import pytest

from pooled_db.celery_fixup import closes_around_a_task

FIXUP = "celery.fixups.django"


@pytest.mark.parametrize(
    ("module", "function", "is_known"),
    [
        (FIXUP, "on_task_prerun", True),
        (FIXUP, "on_task_postrun", True),
        (FIXUP, "close_database", False),
        ("shop.tasks", "on_task_prerun", False),
    ],
)
def test_it_is_known_by_the_functions_around_a_task(
    module: str, function: str, is_known: bool
) -> None:
    code = f"""
def {function}(call):
    return close(call)

def close(call):
    return call()
"""
    names: dict[str, Any] = {"__name__": module}
    exec(code, names)

    assert names[function](closes_around_a_task) is is_known
    assert not closes_around_a_task()


def test_celery_has_these_functions() -> None:
    fixup = pytest.importorskip(FIXUP).DjangoWorkerFixup
    assert callable(fixup.on_task_prerun)
    assert callable(fixup.on_task_postrun)
