"""Where connections lead."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

_values = itemgetter("NAME", "HOST", "PORT", "USER", "PASSWORD", "OPTIONS")
#: Options that each session is given anew, or that are the pool's.
_NOT_LEADING = frozenset({"isolation_level", "pool"})


class Destination:
    """Where the settings of a *database* led at one moment.

    Code may change them at any time, also in place: a test database takes the place of
    the real one, and a site may have a database for each of its tenants.
    """

    __slots__ = ("_options", "_values")

    def __init__(self, database: Mapping[str, Any]) -> None:
        self._options = {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in database["OPTIONS"].items()
        }
        self._values = (*_values(database)[:-1], self._options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destination) and (
            self is other
            or (
                self._values[:-1] == other._values[:-1]
                and _leading(self._options) == _leading(other._options)
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<Destination>"  # the settings have a password

    @property
    def place(self) -> str:
        """What those have in common who share a server's connections."""
        _, host, port, user, *_ = self._values
        at = (host, port, user, self._options.get("unix_socket"))
        return hashlib.sha256(repr(at).encode()).hexdigest()[:16]

    def is_of(self, database: Mapping[str, Any]) -> bool:
        """Whether the settings of *database* lead there now."""
        values = _values(database)
        return values == self._values or (
            values[:-1] == self._values[:-1]
            and _leading(self._options) == _leading(values[-1])
        )


def _leading(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _NOT_LEADING}
