"""Whether a transaction is open, for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.backends.mysql import base as mysql

from ...pool.loan import Loan
from ...request.current import is_of_current_request


class TransactionMixin(mysql.DatabaseWrapper):
    """Knows whose block is open: a request may have left one in its thread."""

    _loan: Loan | None
    _in_atomic_block: bool
    _atomic_blocks: list[Any]

    if TYPE_CHECKING:

        def detach(self) -> None: ...

    @property
    def in_atomic_block(self) -> bool:
        """Whether a transaction is open that the code which runs now has begun.

        One that a request has left open in an executor's thread is not the next's.
        """
        if self._in_atomic_block:
            self._forget_anothers_block()
        return self._in_atomic_block

    @in_atomic_block.setter
    def in_atomic_block(self, value: bool) -> None:
        self._in_atomic_block = value

    @property
    def atomic_blocks(self) -> list[Any]:
        """Its blocks, at which a durable one looks without asking for all that."""
        if self._in_atomic_block:
            self._forget_anothers_block()
        return self._atomic_blocks

    @atomic_blocks.setter
    def atomic_blocks(self, blocks: list[Any]) -> None:
        self._atomic_blocks = blocks

    def _forget_anothers_block(self) -> None:
        loan = self._loan
        if (
            loan is not None
            and loan.requester is not None
            and not is_of_current_request(loan)
        ):
            self.detach()

    @property
    def in_transaction(self) -> bool:
        """Whether something would be lost without a word on another connection.

        Also what code has begun by itself, with ``set_autocommit(False)``, or where the
        settings say so.
        """
        loan = self._loan
        if loan is None or self.autocommit or self.in_atomic_block:
            return self.in_atomic_block
        return self.settings_dict["AUTOCOMMIT"] or loan.has_uncommitted

    @property
    def has_atomic_block(self) -> bool:
        """Whether it is within an atomic block, whoever asks."""
        return self._in_atomic_block

    def _forget_transaction(self) -> None:
        self._in_atomic_block = False
        self.savepoint_ids = []
        self.atomic_blocks = []
        self.needs_rollback = False
        self.closed_in_transaction = False
        self.run_on_commit = []
