"""How long a request has been on its way, from the header that a proxy writes."""

from __future__ import annotations

import re
import time

#: ``t=1699999999.123``, ``1699999999123`` and ``1699999999123456`` are one moment:
#: nginx writes seconds, Heroku milliseconds, New Relic documents all three. See
#: https://docs.newrelic.com/docs/apm/applications-menu/features/configure-request-queue-reporting/
_HEADER = re.compile(r"\s*(?:t=)?(\d{9,17}(?:\.\d+)?)\s*")
_UNITS = ((1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
#: Older than this, in seconds, it is a wrong clock rather than a slow queue.
OLDEST = 600.0


def age_of(header: str | None, now: float | None = None) -> float:
    """Seconds since the moment in *header*; 0 if it is nonsense or in the future.

    *now* is in seconds since the epoch.
    """
    match = _HEADER.fullmatch(header or "")
    if match is None:
        return 0.0
    number = float(match[1])
    for least, unit in _UNITS:
        if number >= least:
            age = (time.time() if now is None else now) - number * unit
            return age if 0.0 < age <= OLDEST else 0.0
    return 0.0
