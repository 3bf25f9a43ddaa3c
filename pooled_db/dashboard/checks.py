"""Whether the dashboard answers when it is needed most."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.urls import NoReverseMatch, reverse

from .. import conf

#: The pages of the dashboard; what they ask for is beside them.
_PAGES = ("pooled_db_dashboard:page", "admin:pooled_db_dashboard_pools_changelist")


def register() -> None:
    checks.register(check_exempt)


def check_exempt(**kwargs: Any) -> list[CheckMessage]:
    """See that the dashboard does not queue for a connection."""
    if conf.middleware_problems() or not getattr(settings, "ROOT_URLCONF", None):
        return []
    exempt = conf.middleware_settings().is_exempt
    return [
        checks.Warning(
            f"The dashboard at {page} queues for a connection with each of its "
            "requests, so it cannot show a pool that is exhausted.",
            hint=f'Add r"^{re.escape(page.lstrip("/"))}" to POOLED_DB["EXEMPT"].',
            id="pooled_db.W008",
        )
        for page in _addresses()
        if not exempt(f"{page}data")
    ]


def _addresses() -> list[str]:
    found = []
    for name in _PAGES:
        try:
            found.append(reverse(name))
        except NoReverseMatch:
            continue
    return found
