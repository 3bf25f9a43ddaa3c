"""The dashboard's page, and what it asks for while it is open.

None of it needs a connection once the page has been opened, except for the server's own
view, which is not asked for while others wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from . import access
from .snapshot import server_snapshot, snapshot

View = Callable[[HttpRequest], HttpResponse]


def _needs_no_database(view: View) -> View:
    """Keep everybody in front of *view* from asking the database for it."""
    view = never_cache(require_safe(view))
    for alias in connections:  # ATOMIC_REQUESTS would begin a transaction
        view = transaction.non_atomic_requests(alias)(view)
    # The views find out themselves who asks.
    view.login_required = False  # type: ignore[attr-defined]
    return view


@_needs_no_database
def page(request: HttpRequest) -> HttpResponse:
    """The page by a URL of its own."""
    if access.is_allowed_by_cookie(request):
        access.leave_session_alone(request)
        return _page()
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), _login_url())
    if not access.is_allowed_by_session(request):
        raise PermissionDenied
    response = _page()
    access.remember(request, response)
    return response


@_needs_no_database
def data(request: HttpRequest) -> HttpResponse:
    """Everything that is known of the pools of this host, at this moment."""
    return _answer(request, snapshot)


@_needs_no_database
def server(request: HttpRequest) -> HttpResponse:
    """What the servers say of their connections."""
    return _answer(request, server_snapshot)


@_needs_no_database
def renew(request: HttpRequest) -> HttpResponse:
    """Ask the database whether the user may still see the page."""
    if access.is_allowed_by_session(request):
        response = HttpResponse(status=204)
        access.remember(request, response)
        return response
    response = _not_allowed()
    access.forget(request, response)
    return response


def _page() -> HttpResponse:
    # Without the request: a context processor may ask the database.
    return HttpResponse(render_to_string("pooled_db/dashboard/alone.html"))


def _answer(request: HttpRequest, tell: Callable[[], dict[str, Any]]) -> HttpResponse:
    access.leave_session_alone(request)
    if not access.is_allowed_by_cookie(request):
        return _not_allowed()
    return JsonResponse(tell())


def _not_allowed() -> HttpResponse:
    detail = f"The permission {access.PERMISSION} is needed, and to be staff."
    return JsonResponse({"detail": detail}, status=403)


def _login_url() -> str | None:
    try:
        return reverse("admin:login")
    except NoReverseMatch:
        return None  # settings.LOGIN_URL
