"""Interrupts at each moment at which CPython looks for signals."""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """What a signal handler raises."""


def interrupt(action: Callable[[], object], moment: int, *modules: str) -> bool:
    """Interrupt *action* when CPython looks for signals for the *moment*th time.

    It looks as a function of Python starts, after a call and at a jump back. Returns
    whether there was such a moment within *modules*, which are prefixes of names.
    """
    before: dict[FrameType, str] = {}
    left = moment

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        if not str(frame.f_globals.get("__name__")).startswith(modules):
            return None
        frame.f_trace_opcodes = True
        looks = event == "call"
        if event == "opcode":
            now = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            looks = before.get(frame, "").startswith(("CALL", "JUMP_BACK"))
            # Not after a call that has raised: CPython looks for none there, and would
            # lose count of what is being handled.
            looks &= now != "PUSH_EXC_INFO"
            before[frame] = now
        left -= looks
        if looks and left == 0:
            raise Interrupted
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(Interrupted):
            action()
    finally:
        sys.settrace(previous)
    return left <= 0
