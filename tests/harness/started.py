"""What is started when a with block begins, and closed when it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod

from typing_extensions import Self

from .processes import Keeper


class Started(ABC):
    """Runs inside the with block; what fails to start leaves nothing behind."""

    @abstractmethod
    def start(self) -> None:
        """Start it; whatever is raised closes it."""

    @abstractmethod
    def close(self) -> None:
        """End it. Idempotent."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Program(Started):
    """A program that *name* keeps in a directory of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._keeper: Keeper | None = None

    @abstractmethod
    def _start(self, keeper: Keeper) -> None:
        """Start it with what *keeper* has, and wait until it serves."""

    def start(self) -> None:
        self._keeper = Keeper(self._name)
        self._start(self._keeper)

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def log(self) -> str:
        return self._keeper.log() if self._keeper else ""
