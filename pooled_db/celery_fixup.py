"""What Celery's Django fix-up asks of pools."""

from __future__ import annotations

import sys
from types import FrameType

_FIXUP = "celery.fixups.django"
_AROUND_TASKS = frozenset({"on_task_prerun", "on_task_postrun"})


def closes_around_a_task() -> bool:
    """Whether Celery's fix-up is what calls, before or after a task.

    With the prefork pool it closes the pool of every alias then, if ``OPTIONS["pool"]``
    is true, for the sake of pools that do not survive a fork. It has no setting that
    stops it, and passes nothing by which it could be told from others.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if (
            frame.f_code.co_name in _AROUND_TASKS
            and frame.f_globals.get("__name__") == _FIXUP
        ):
            return True
        frame = frame.f_back
    return False
