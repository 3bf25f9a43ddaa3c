"""Where connections of the tests lead that are never opened."""

from __future__ import annotations

from typing import Any

from pooled_db.pool.destination import Destination

SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("HOST", "PORT", "USER", "PASSWORD"), ""),
    "NAME": "shop",
    "OPTIONS": {},
}
HERE = Destination(SETTINGS)
ELSEWHERE = Destination({**SETTINGS, "NAME": "another"})
