"""Rows that are read from the server while they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import MySQLdb


class Unbuffered:
    """The driver's result, whose errors *judge* is told."""

    def __init__(self, result: Any, judge: Callable[[BaseException], None]) -> None:
        self._result = result
        self._judge = judge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    def fetch_row(self, *args: Any) -> Any:
        try:
            return self._result.fetch_row(*args)
        except MySQLdb.Error as error:
            self._judge(error)
            raise
