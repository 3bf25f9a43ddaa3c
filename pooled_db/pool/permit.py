"""The right to use one connection, and the refusal of it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from ..exceptions import Reason


class State(enum.Enum):
    """Where a permit is in its life."""

    NEW = enum.auto()
    WAITING = enum.auto()
    HELD = enum.auto()
    REFUSED = enum.auto()
    RETURNED = enum.auto()


# Python before 3.12 takes 90 ns to find a member in its class, and a cycle has six.
NEW: Final = State.NEW
WAITING: Final = State.WAITING
HELD: Final = State.HELD
REFUSED: Final = State.REFUSED
RETURNED: Final = State.RETURNED


class Permit:
    """The right to use one connection, from asking for it until it is given back.

    The permit exists before it is asked for, and its ``state`` changes only under
    the gate's lock. So whoever is interrupted, at whatever moment, can give it to
    :meth:`Gate.release` and loses nothing.
    """

    __slots__ = ("_wake", "arrived", "deadline", "reason", "state", "waited")

    # Set with the first state for which each means something.
    arrived: float
    deadline: float
    waited: float
    _wake: Callable[[], None]

    def __init__(self) -> None:
        self.state: State = NEW
        self.reason: Reason | None = None


class Refused(Exception):
    """The gate gave no permit."""

    def __init__(self, reason: Reason, waited: float) -> None:
        super().__init__(reason, waited)
        self.reason = reason
        self.waited = waited
