"""Where the middleware stands in ``MIDDLEWARE``, and what that means for the doors."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.module_loading import import_string

from . import conf

MIDDLEWARE = "pooled_db.middleware.PooledConnectionMiddleware"
#: Serves the files below STATIC_URL itself, before our middleware is called.
WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"


def is_ours(path: str) -> bool:
    """Whether *path* names the middleware, or a class derived from it."""
    from .middleware import PooledConnectionMiddleware

    try:
        middleware = import_string(path)
    except ImportError:
        return False  # Django says so when it starts.
    return isinstance(middleware, type) and issubclass(
        middleware, PooledConnectionMiddleware
    )


def places(middleware: Sequence[str]) -> list[int]:
    """At which places of *middleware* it stands."""
    return [place for place, path in enumerate(middleware) if is_ours(path)]


def wants_door() -> bool:
    """Whether requests queue in front of Django, by the settings alone.

    Raises ImproperlyConfigured for wrong settings.
    """
    return bool(places(settings.MIDDLEWARE)) and conf.middleware_settings().door


def served_above() -> str | None:
    """Which paths never reach the middleware, as they begin."""
    here = places(settings.MIDDLEWARE)
    if here and WHITENOISE in settings.MIDDLEWARE[: here[0]]:
        return urlsplit(settings.STATIC_URL or "").path or None
    return None
