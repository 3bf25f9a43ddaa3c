"""Headers that a refusal lacks because no middleware above has seen it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..conf import HeadersSetting
from ..conf.rules import header_problem
from .incoming import Incoming

logger: logging.Logger = logging.getLogger("pooled_db")

#: How the project's function has failed: each is logged once.
_logged_failures: set[str] = set()


def add_headers(
    headers: dict[str, str], extra: HeadersSetting, incoming: Incoming
) -> None:
    """Add *extra* to *headers*, which keep what they have; ``Vary`` is joined."""
    for name, value in _extra(extra, incoming).items():
        if name.lower() == "vary":
            headers["Vary"] = f"{headers['Vary']}, {value}"
        elif not any(name.lower() == own.lower() for own in headers):
            headers[name] = value


def _extra(extra: HeadersSetting, incoming: Incoming) -> Mapping[str, str]:
    if isinstance(extra, Mapping):
        return extra
    try:
        made = extra(incoming.path, incoming.header("origin"))
        problem = header_problem(made)
    except Exception as error:  # noqa: BLE001  whatever it is, the client gets a 503
        _log_once(f"it raised {type(error).__name__}", exc_info=True)
        return {}
    if problem is not None:
        _log_once(f"what it returned {problem}")
        return {}
    return made


def _log_once(what: str, *, exc_info: bool = False) -> None:
    if what not in _logged_failures:
        _logged_failures.add(what)
        logger.error(
            'The function in POOLED_DB["HEADERS"] has failed: %s. Refusals are sent '
            "without its headers.",
            what,
            exc_info=exc_info,
        )
