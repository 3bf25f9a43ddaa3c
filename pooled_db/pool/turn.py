"""A place in the line for a loan that another thread of its request has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from .permit import Permit


class Borrower(Protocol):
    """Who looks at a loan's connection: Django's DatabaseWrapper of one thread."""

    @property
    def has_atomic_block(self) -> bool:
        """Whether it is within an atomic block, whoever asks."""

    def detach(self) -> None:
        """Forget the connection and its transaction, which are not its any more."""


#: A weak reference to a borrower: one for each, so that they compare by identity.
BorrowerRef = Callable[[], "Borrower | None"]


class Turn:
    """Who waits for a loan of its own request to be at rest.

    *permit* waits in the gate meanwhile: whichever comes first.
    """

    __slots__ = ("borrower", "came", "granted", "permit", "thread")

    def __init__(
        self,
        thread: int,
        borrower: BorrowerRef | None = None,
        permit: Permit | None = None,
    ) -> None:
        self.thread = thread
        self.borrower = borrower
        self.permit = permit
        self.granted: bool = False
        #: Set when it has been granted, or the loan is over.
        self.came = threading.Event()
