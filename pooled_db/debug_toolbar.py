"""A panel for django-debug-toolbar: the connections of one request."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from debug_toolbar.panels import Panel
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .pool.loan import Loan
from .pools import stats
from .request.current import current_scope

#: What the panel tells of each pool, of all that `stats()` does.
TOLD = ("in_use", "idle", "waiting", "limit")


class PoolPanel(Panel):
    """Tells how a request got its connections, and in what state they go back.

    Name it in ``DEBUG_TOOLBAR_PANELS``. It asks the server nothing.
    """

    is_async = True
    title = "Connection pool"
    template = "pooled_db/debug_toolbar.html"

    @property
    def nav_subtitle(self) -> str:
        loans = self.get_stats().get("loans", [])  # type: ignore[no-untyped-call]
        if not loans:
            return "no connection"
        waited = 1000 * max(loan["waited"] for loan in loans)
        kind = "new" if any(loan["is_new"] for loan in loans) else "reused"
        dirty = ", changed" if any(loan["dirtied_by"] for loan in loans) else ""
        return f"waited {waited:.1f} ms, {kind}{dirty}"

    def process_request(self, request: HttpRequest) -> Any:
        self._before = _numbers()
        return super().process_request(request)  # type: ignore[no-untyped-call]

    def generate_stats(self, request: HttpRequest, response: HttpResponseBase) -> None:
        scope = current_scope()
        loans = [] if scope is None else scope.loans
        after = _numbers()
        self.record_stats(  # type: ignore[no-untyped-call]
            {
                "loans": [_told(loan) for loan in loans if loan.connection is not None],
                "pools": [
                    {"alias": alias, "before": self._before.get(alias), "after": now}
                    for alias, now in after.items()
                ],
            }
        )


def _numbers() -> dict[str, dict[str, int]]:
    return {
        alias: {name: number for name, number in asdict(now).items() if name in TOLD}
        for alias, now in stats().items()
    }


def _told(loan: Loan) -> dict[str, Any]:
    connection = loan.connection
    assert connection is not None
    told = {
        "alias": loan.pool.alias,
        "waited": loan.waited,
        "is_new": loan.is_new,
        "connection_id": connection.connection_id,
        "pings": loan.pings,
        "called_back": loan.called_back,
        "is_back": loan.has_ended,
        "dirtied_by": None,
        "needs_io": False,
    }
    if not loan.has_ended:  # else the connection may be another's by now
        told["dirtied_by"] = connection.dirtied_by
        told["needs_io"] = loan.needs_io()
    return told
