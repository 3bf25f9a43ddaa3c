"""The request that a loan belongs to, as the pool knows it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol


class Requester(Protocol):
    """The request that a loan belongs to."""

    @property
    def receiving_since(self) -> float | None:
        """Since when its thread has waited for its client, if it does."""

    def describe(self) -> str:
        """Name the request, as it goes on after "for"."""

    def label(self) -> str:
        """Name it in short, for those who look from outside."""

    def client(self) -> Hashable:
        """Who asks, as far as requests of others are to be told from these."""

    def has_priority(self) -> bool:
        """Whether it goes before others."""
