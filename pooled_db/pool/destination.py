"""Where connections lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Destination:
    """Where the settings of a *database* led at one moment.

    Code may change them at any time, also in place: a test database takes the place of
    the real one, and a site may have a database for each of its tenants.
    """

    __slots__ = ("_options", "_parts")

    def __init__(self, database: Mapping[str, Any]) -> None:
        self._parts = _parts(database)
        self._options = {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in database["OPTIONS"].items()
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destination) and (
            self is other
            or (self._parts == other._parts and self._options == other._options)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<Destination>"  # the settings have a password

    def is_of(self, database: Mapping[str, Any]) -> bool:
        """Whether the settings of *database* lead there now."""
        return self._parts == _parts(database) and self._options == database["OPTIONS"]


def _parts(database: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        database["NAME"],
        database["HOST"],
        database["PORT"],
        database["USER"],
        database["PASSWORD"],
    )
