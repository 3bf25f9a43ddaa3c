"""The right to use one connection, and the refusal of it."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, Protocol

from ..exceptions import Reason


class State(enum.Enum):
    """Where a loan is in its life.

    ::

        new -> waiting -> admitted -> taking -> ready -> lent -> returned | closed
                      \\-> refused

    Until it is admitted, and once it is back, it is a mere permit: the rest is the
    pool's.
    """

    NEW = enum.auto()
    WAITING = enum.auto()
    ADMITTED = enum.auto()
    TAKING = enum.auto()
    READY = enum.auto()
    LENT = enum.auto()
    REFUSED = enum.auto()
    RETURNED = enum.auto()
    CLOSED = enum.auto()


# Python before 3.12 takes 90 ns to find a member in its class, and a cycle has six.
NEW: Final = State.NEW
WAITING: Final = State.WAITING
ADMITTED: Final = State.ADMITTED
TAKING: Final = State.TAKING
READY: Final = State.READY
LENT: Final = State.LENT
REFUSED: Final = State.REFUSED
RETURNED: Final = State.RETURNED
CLOSED: Final = State.CLOSED


def wake_nobody() -> None:
    """Stand in for the one who is to be woken, before there is one and afterwards."""


class Gone(Exception):
    """Nobody is there any more to be woken, nor to take a permit."""


class Permit:
    """The right to use one connection, from asking for it until it is given back.

    The permit exists before it is asked for, and its ``state`` changes only under
    the gate's lock. So whoever is interrupted, at whatever moment, can give it to
    :meth:`Gate.release` and loses nothing.

    ``begun`` says that its holder is in the middle of something: it is served before
    newcomers and is not shed. Whoever is ``bounded`` is refused when the line is full.
    Times are in seconds of the gate's clock.
    """

    state: State = NEW
    reason: Reason | None = None
    begun: bool = False
    bounded: bool = True
    #: Whether it is known whose it is; otherwise `introduce` tells, if it has to wait.
    is_known: bool = True
    #: Refers to the request that it is for, if to any: several may be for one.
    requester: Callable[[], Any] | None = None
    #: In whose line it stands: all that are equal share one.
    client: Hashable = None
    #: Whether it goes before the other newcomers.
    priority: bool = False
    #: For how many seconds it counts as having waited elsewhere.
    waited_before: float = 0.0
    #: Whether it was held before, and of no use.
    waits_again: bool = False
    #: In which state it begins: with TAKING its thread connects without asking again.
    begins_as: State = ADMITTED
    #: In which state it ends: that of a connection that is kept, or of one closed.
    ends_as: State = RETURNED
    arrived: float = 0.0
    deadline: float = 0.0
    #: For how long it has stood in line.
    waited: float = 0.0
    #: Called when there is something new to see: the state, or when to look again.
    #: Raises Gone.
    wake: Callable[[], None] = staticmethod(wake_nobody)

    def introduce(self) -> None:
        """Find out who its client is, and whether it has priority."""

    def refuse(self, reason: Reason, now: float) -> None:
        """Note that it is refused, with the gate's lock held."""
        self.state = REFUSED
        self.reason = reason
        self.waited = now - self.arrived

    def raise_if_refused(self) -> None:
        if self.state is REFUSED:
            assert self.reason is not None
            raise Refused(self.reason, self.waited)


class OnCall(Protocol):
    """Takes permits back from those who hold them without need."""

    def call_back(
        self, held: Iterable[Permit], waiters: Iterable[Permit], into: list[Permit]
    ) -> float:
        """Put into *into* what may be taken from whom, one for each waiter at most.

        Called with the gate's lock held. Returns when to look again, by its clock.
        """

    def hand_in(self, called: list[Permit]) -> None:
        """Release them, all of them even if one fails. No lock is held."""

    def in_vain(self, line: Iterable[Permit]) -> Permit | None:
        """Who of those in *line* waits for what cannot come. No lock is held."""


class Refused(Exception):
    """The gate gave no permit."""

    def __init__(self, reason: Reason, waited: float) -> None:
        super().__init__(reason, waited)
        self.reason = reason
        self.waited = waited


def wake_all(answered: deque[Permit], returned: deque[Permit]) -> None:
    """Wake those of *answered*, for whom there is something new to see.

    Permits of those who have gone are put into *returned*.
    """
    # As in Gate.release(): no interrupt comes between a `for` and its body.
    try:
        for permit in iter(answered.popleft, None):
            try:
                permit.wake()
            except Gone:
                # The permit goes to the next.
                returned.append(permit)
            except BaseException as error:
                # It would be raised again, and for somebody else.
                if type(error) is not RuntimeError:
                    answered.append(permit)
                raise
    except IndexError:
        return
