"""An event loop whose time passes only when its callbacks say that they have worked."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Selector(selectors.SelectSelector):
    """Never waits: time jumps to the next timer instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits, and no timer is set")
        if timeout > 0:
            self.loop.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 0.0
        #: For how long its callbacks have worked.
        self.worked = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        """Let the running callback take so long."""
        self.now += seconds
        self.worked += seconds
