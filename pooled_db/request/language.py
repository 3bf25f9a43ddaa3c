"""In which language a client is refused, before Django has looked at its request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import SimpleNamespace

from django.conf import settings
from django.core.signals import setting_changed
from django.http.cookie import parse_cookie
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.module_loading import import_string

#: Looks a request's header up, whose name is given in lower case.
Header = Callable[[str], "str | None"]

#: The longest header that is read, in characters: what is cut off is liked least.
LONGEST_HEADER = 500

#: What the choice depends on.
VARY = ("Accept-Language", "Cookie")


@dataclass(frozen=True, slots=True)
class Language:
    """What a refusal is written in, and which headers of the request have said so.

    The code is one of ``LANGUAGES``, or ``None`` where nothing is translated.
    """

    code: str | None
    vary: tuple[str, ...] = ()


def language_of(header: Header, chosen: str | None = None) -> Language:
    """Choose as Django's ``LocaleMiddleware`` does: by the cookie, then by the header.

    Without that middleware everybody gets ``LANGUAGE_CODE``. What it has *chosen* for
    the request already is taken as it is.
    """
    if not settings.USE_I18N:
        return Language(None)
    if chosen is not None:
        return Language(chosen, VARY)
    if not _negotiates():
        return Language(settings.LANGUAGE_CODE)
    cookies = header("cookie") or ""
    cookie = ""
    if settings.LANGUAGE_COOKIE_NAME in cookies:
        cookie = parse_cookie(cookies).get(settings.LANGUAGE_COOKIE_NAME, "")
    accepted = beginning(header("accept-language") or "")
    return Language(_chosen(accepted, cookie[:LONGEST_HEADER]), VARY)


def beginning(header: str) -> str:
    """Return the whole elements of a list that are within the longest that is read."""
    if len(header) <= LONGEST_HEADER:
        return header
    return header[:LONGEST_HEADER].rpartition(",")[0]


@lru_cache(maxsize=256)
def _chosen(accepted: str, cookie: str) -> str:
    headers: Mapping[str, str] = {"HTTP_ACCEPT_LANGUAGE": accepted}
    request = SimpleNamespace(
        COOKIES={settings.LANGUAGE_COOKIE_NAME: cookie}, META=headers
    )
    # Django 4.2 leaves to its middleware what is none of the site's languages.
    code: str | None = translation.get_language_from_request(request)  # type: ignore[arg-type]
    return code or _of_the_site()


def _of_the_site() -> str:
    code: str = settings.LANGUAGE_CODE
    try:
        return translation.get_supported_language_variant(code)
    except LookupError:
        return code


@cache
def _negotiates() -> bool:
    """Whether the project has Django's middleware for it, or one that derives of it."""
    for path in settings.MIDDLEWARE:
        middleware = import_string(path)
        if isinstance(middleware, type) and issubclass(middleware, LocaleMiddleware):
            return True
    return False


def _settings_changed(**kwargs: object) -> None:
    _chosen.cache_clear()
    _negotiates.cache_clear()


setting_changed.connect(_settings_changed)
