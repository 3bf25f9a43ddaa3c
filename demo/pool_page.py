"""What the pool of this process is doing, live, without the database."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

import pooled_db

NUMBERS = (
    ("in_use", "in use"),
    ("idle", "idle"),
    ("waiting", "waiting"),
    ("checkouts", "lent so far"),
    ("refused", "refused so far"),
    ("opened", "opened so far"),
)


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "pool.html", {"numbers": NUMBERS})


def now(request: HttpRequest) -> JsonResponse:
    """The default pool's numbers; none before its first use."""
    pool = pooled_db.stats().get("default")
    names = ("limit", *(name for name, _ in NUMBERS)) if pool else ()
    return JsonResponse({name: getattr(pool, name) for name in names})
