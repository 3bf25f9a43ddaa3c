"""The 503 that a refused request is answered with. It needs no database."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpResponse
from django.template import TemplateDoesNotExist, loader
from django.utils import translation
from django.utils.functional import Promise
from django.utils.html import escape
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from ..exceptions import Reason
from .accept import prefers_json
from .language import Language, beginning

logger: logging.Logger = logging.getLogger("pooled_db")

#: Methods that promise to change nothing, so that trying again does no harm.
#: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_BUSY = _("The site is busy. Please try again in a moment.")
_DETAILS: Mapping[Reason, Promise] = {
    Reason.TIMEOUT: _BUSY,
    Reason.QUEUE_FULL: _BUSY,
    Reason.OVERLOADED: _BUSY,
    Reason.STALLED: _BUSY,
    Reason.UNAVAILABLE: _(
        "The site cannot reach its database. Please try again in a moment."
    ),
    Reason.CONNECTION_LOST: _(
        "The site lost its database while it worked on your request. "
        "Please check whether your last change was saved before you try again."
    ),
}

_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 20vh auto;
       padding: 0 1.5rem; color-scheme: light dark }}
h1 {{ font-size: 1.5rem }}
</style>
</head>
<body>
<h1>{heading}</h1>
<p>{detail}</p>
</body>
</html>
"""

#: How ``503.html`` has failed: each is logged once, for refusals come by thousands.
_logged_failures: set[type[Exception]] = set()

#: For how many seconds a rendered page is sent again.
PAGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """What there is to tell the client: independent of WSGI, ASGI and Django."""

    status: int
    headers: dict[str, str]
    body: bytes


def refuse(
    reason: Reason,
    *,
    method: str,
    accept: str,
    language: Language,
    retry_after: int | None,
) -> Refusal:
    """Make the answer to a refused request.

    *retry_after* is in seconds, before jitter; ``None`` leaves the header out, for a
    request that may have done something and must not be repeated blindly.
    """
    if prefers_json(beginning(accept)):
        content_type = "application/problem+json"
        content = _json(reason, language.code)
    else:
        content_type = "text/html; charset=utf-8"
        content = _html(reason, language.code, int(time.monotonic() / PAGE_SECONDS))
    headers = {
        "Content-Type": content_type,
        "Content-Language": content.language,
        "Cache-Control": "no-store",
        "Vary": ", ".join(("Accept", *language.vary)),
        "Content-Length": str(len(content.body)),
    }
    if retry_after is not None:
        # Spread over twice the time, so that those who were refused together do not
        # all come back together.
        wait = random.randint(retry_after, 2 * retry_after)
        headers["Retry-After"] = str(wait)
    return Refusal(503, headers, b"" if method == "HEAD" else content.body)


def to_django(refusal: Refusal) -> HttpResponse:
    """Make Django's response of it."""
    response = HttpResponse(
        refusal.body, status=refusal.status, headers=refusal.headers
    )
    # The cause is logged by pooled_db, once a second; Django would mail each to ADMINS.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@dataclass(frozen=True, slots=True)
class _Content:
    body: bytes
    language: str


@lru_cache(maxsize=128)
def _json(reason: Reason, code: str | None) -> _Content:
    with translation.override(code):
        # https://www.rfc-editor.org/rfc/rfc9457
        problem = {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": str(_DETAILS[reason]),
            "reason": reason.value,
        }
        return _Content(json.dumps(problem).encode(), _language_of_texts())


@lru_cache(maxsize=128)
def _html(reason: Reason, code: str | None, age: int) -> _Content:
    """Render the project's ``503.html``, or the built-in page.

    Once for each language *code* and *age*: refusals come by the thousand.
    """
    with translation.override(code):
        context = {"reason": reason.value, "detail": str(_DETAILS[reason])}
        page = None
        try:
            page = _project_page(context)
        except Exception as error:
            if type(error) not in _logged_failures:
                _logged_failures.add(type(error))
                logger.exception(
                    "503.html cannot be rendered; the built-in page is sent."
                )
        if page is not None:
            return _Content(page, translation.get_language() or settings.LANGUAGE_CODE)
        return _built_in_page(context["detail"])


def _language_of_texts() -> str:
    """The code of the language that the texts above are in: there may be no such."""
    return pgettext("the code of the language of this translation", "en")


def _built_in_page(detail: str) -> _Content:
    language = _language_of_texts()
    texts = {
        "language": language,
        "title": gettext("Please try again"),
        "heading": gettext("One moment, please"),
        "detail": detail,
    }
    escaped = {name: escape(text) for name, text in texts.items()}
    return _Content(_PAGE.format(**escaped).encode(), language)


def _project_page(context: dict[str, str]) -> bytes | None:
    """Render ``503.html`` if there is one.

    It gets no request, so that no context processor asks the database.
    """
    try:
        template = loader.get_template("503.html")
    except TemplateDoesNotExist:
        return None
    return template.render(context).encode()


def _settings_changed(**kwargs: object) -> None:
    _html.cache_clear()
    _json.cache_clear()


setting_changed.connect(_settings_changed)
