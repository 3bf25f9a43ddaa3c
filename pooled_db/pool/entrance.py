"""How a loan gets its permit, or the error that says why not."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from ..exceptions import PoolTimeout, Reason
from .gate import Gate
from .holders import Holders
from .loan import Loan
from .numbers import Numbers
from .overdue import Overdue
from .permit import Refused
from .sharing import Shared
from .stall import begin_waiting, end_waiting, is_stalled
from .turn import Turn

#: By how many seconds the clock of a proxy may be wrong before it makes a request look
#: as if it had waited.
CLOCKS_DIFFER = 0.5


class Entrance(ABC):
    """Lets loans in through *gate*, and makes a diagnosis of each refusal.

    *timeout* is for how many seconds a loan waits. One that lasts for longer than
    *warn_after* seconds is logged once.
    """

    def __init__(
        self,
        alias: str,
        gate: Gate,
        *,
        timeout: float,
        warn_after: float | None,
        numbers: Numbers,
    ) -> None:
        self.alias = alias
        self.gate = gate
        self.timeout = timeout
        self.numbers = numbers
        self._holders = Holders(gate.held)
        self.warns: bool = warn_after is not None
        self._overdue = (
            None if warn_after is None else Overdue(alias, warn_after, self.lent)
        )

    def lent(self) -> list[Loan]:
        """What is lent at this moment.

        The gate keeps these: SQLAlchemy puts a connection whose proxy is collected
        back into its pool, as it is, and the loans have the proxies.
        """
        return [
            permit
            for permit in self.gate.held()
            if isinstance(permit, Loan) and permit.connection is not None
        ]

    @property
    @abstractmethod
    def granted(self) -> int:
        """How many connections the server grants, as far as is known."""

    def admit(self, loan: Loan, age: float = 0.0, instead: Loan | None = None) -> Loan:
        """Wait in this thread until *loan* has its permit, and return it.

        *age* is for how many seconds the request has waited elsewhere. *instead* is
        another loan of the same request: if it comes to rest earlier, it is returned,
        and its user is who *loan* was made for. Raises PoolTimeout if it all takes too
        long, or can never be.
        """
        try:
            if age:
                self._refuse_too_old(age)
                loan.waited_before = max(0.0, age - CLOCKS_DIFFER)
            if loan.begun:
                return self._admit_begun(loan, instead)
            if not self.gate.enter(loan, self.timeout - age):
                self.gate.wait(loan)
            return loan
        except Refused as refusal:
            raise self._refusal(refusal, loan, age - loan.waited_before) from None

    def _admit_begun(self, loan: Loan, instead: Loan | None) -> Loan:
        if instead is None:
            self._wait_unless_stalled(loan)
            return loan
        turn = Turn(threading.get_ident(), loan.borrower, loan)
        instead.queue_up(turn)  # what is over grants none
        try:
            self._wait_unless_stalled(loan)
        except BaseException:
            instead.leave_line(turn)
            raise
        return instead if turn.granted else loan

    def _wait_unless_stalled(self, loan: Loan) -> None:
        def before_waiting() -> None:
            begin_waiting(loan)
            if is_stalled(loan):
                self.gate.keep_one()
                raise Refused(Reason.STALLED, 0.0)

        try:
            self.gate.acquire(loan, self.timeout, before_waiting)
        finally:
            end_waiting(loan)

    async def admit_async(self, loan: Loan, age: float = 0.0) -> None:
        """Wait in this task until *loan* has its permit; otherwise as `admit`."""
        try:
            if age:
                self._refuse_too_old(age)
                loan.waited_before = max(0.0, age - CLOCKS_DIFFER)
            await self.gate.acquire_async(loan, self.timeout - age)
        except Refused as refusal:
            raise self._refusal(refusal, loan, age - loan.waited_before) from None

    def _refuse_too_old(self, age: float) -> None:
        """Refuse who has waited elsewhere for all of its time, free permit or not."""
        if age >= self.timeout:
            raise Refused(Reason.TIMEOUT, 0.0)

    def refuse_turn(self, loan: Shared, waited: float) -> PoolTimeout:
        """Make the error of whoever waited in vain for its turn with *loan*."""
        return self._refusal(Refused(Reason.TIMEOUT, waited), loan, 0.0)

    def _refusal(self, refusal: Refused, loan: Shared, before: float) -> PoolTimeout:
        """Make an error of *refusal*, whose wait does not count *before* seconds."""
        self.numbers.refused(refusal.reason)
        if self._overdue is not None:
            self._overdue.pass_by(time.monotonic())
        return PoolTimeout(
            self.alias,
            refusal.reason,
            refusal.waited + before,
            self.gate.capacity - self.gate.free,
            self.granted,
            self.gate.waiting,
            *self._holders.described_for(loan),
        )
