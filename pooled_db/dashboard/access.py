"""Who may see the pools: by the session, and for a while by a cookie alone.

The session is in the database, which may be what is away. So whoever may see the page
gets a signed cookie, which says so for an hour without asking anybody. It is good only
beside the session's own cookie, at the page's own path, and out of the reach of
scripts. The page has it renewed every few minutes by asking the database: whoever loses
the permission loses the page then, and whoever logs out at once.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

PERMISSION = "pooled_db_dashboard.view_pools"
COOKIE = "pooled_db_dashboard"
#: For how many seconds the cookie is good.
VALID = 3600

_SALT = "pooled_db.dashboard"


def is_allowed_by_session(request: HttpRequest) -> bool:
    """Whether the user may see the pools; this asks the database."""
    user: Any = request.user
    return bool(user.is_active and user.is_staff and user.has_perm(PERMISSION))


def is_allowed_by_cookie(request: HttpRequest) -> bool:
    """Whether the user was allowed to not long ago; this asks nobody."""
    told = request.get_signed_cookie(COOKIE, default="", salt=_SALT, max_age=VALID)
    return constant_time_compare(told or "", _of_session(request))


def remember(request: HttpRequest, response: HttpResponse) -> None:
    """Let the user of *request* see the pools for a while without the database."""
    response.set_signed_cookie(
        COOKIE,
        _of_session(request),
        salt=_SALT,
        max_age=VALID,
        path=_path(request),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def forget(request: HttpRequest, response: HttpResponse) -> None:
    """Take that back."""
    response.delete_cookie(COOKIE, path=_path(request), samesite="Lax")


def leave_session_alone(request: HttpRequest) -> None:
    """Keep Django from saving the session at the end, which asks the database.

    It does so for each request with ``SESSION_SAVE_EVERY_REQUEST``.
    """
    if hasattr(request, "session"):
        del request.session


def _of_session(request: HttpRequest) -> str:
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return salted_hmac(_SALT, session, algorithm="sha256").hexdigest()


def _path(request: HttpRequest) -> str:
    """The directory of the page and of what belongs to it."""
    return request.path.rpartition("/")[0] + "/"
