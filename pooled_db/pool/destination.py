"""Where connections lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Options that each session is given anew, or that are the pool's.
_NOT_LEADING = frozenset({"isolation_level", "pool"})


class Destination:
    """Where the settings of a *database* led at one moment.

    Code may change them at any time, also in place: a test database takes the place of
    the real one, and a site may have a database for each of its tenants.
    """

    __slots__ = ("_options", "_parts")

    def __init__(self, database: Mapping[str, Any]) -> None:
        self._parts: tuple[Any, ...] = (
            database["NAME"],
            database["HOST"],
            database["PORT"],
            database["USER"],
            database["PASSWORD"],
        )
        self._options = {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in database["OPTIONS"].items()
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destination) and (
            self is other
            or (
                self._parts == other._parts
                and _leading(self._options) == _leading(other._options)
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<Destination>"  # the settings have a password

    def is_of(self, database: Mapping[str, Any]) -> bool:
        """Whether the settings of *database* lead there now."""
        name, host, port, user, password = self._parts
        return bool(
            name == database["NAME"]
            and host == database["HOST"]
            and port == database["PORT"]
            and user == database["USER"]
            and password == database["PASSWORD"]
            and (
                self._options == database["OPTIONS"]
                or _leading(self._options) == _leading(database["OPTIONS"])
            )
        )


def _leading(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _NOT_LEADING}
