"""The 503 that a refused request is answered with. It needs no database."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.core.signals import setting_changed
from django.http import HttpResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.translation import get_language

from ..exceptions import Reason

logger: logging.Logger = logging.getLogger("pooled_db")

#: Methods that promise to change nothing, so that trying again does no harm.
#: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_DETAILS: Mapping[Reason, str] = {
    Reason.TIMEOUT: "The site is busy. Please try again in a moment.",
    Reason.QUEUE_FULL: "The site is busy. Please try again in a moment.",
    Reason.OVERLOADED: "The site is busy. Please try again in a moment.",
    Reason.STALLED: "The site is busy. Please try again in a moment.",
    Reason.UNAVAILABLE: (
        "The site cannot reach its database. Please try again in a moment."
    ),
    Reason.CONNECTION_LOST: (
        "The site lost its database while it worked on your request. "
        "Please check whether your last change was saved before you try again."
    ),
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Please try again</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 20vh auto;
       padding: 0 1.5rem; color-scheme: light dark }}
h1 {{ font-size: 1.5rem }}
</style>
</head>
<body>
<h1>One moment, please</h1>
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
    reason: Reason, *, method: str, accept: str, retry_after: int | None
) -> Refusal:
    """Make the answer to a refused request.

    *retry_after* is in seconds, before jitter; ``None`` leaves the header out, for a
    request that may have done something and must not be repeated blindly.
    """
    as_json = prefers_json(accept)
    body = (
        _json(reason)
        if as_json
        else _html(reason, get_language(), int(time.monotonic() / PAGE_SECONDS))
    )
    headers = {
        "Content-Type": (
            "application/problem+json" if as_json else "text/html; charset=utf-8"
        ),
        "Cache-Control": "no-store",
        "Vary": "Accept",
        "Content-Length": str(len(body)),
    }
    if retry_after is not None:
        # Spread over twice the time, so that those who were refused together do not
        # all come back together.
        wait = random.randint(retry_after, 2 * retry_after)
        headers["Retry-After"] = str(wait)
    return Refusal(503, headers, b"" if method == "HEAD" else body)


def to_django(refusal: Refusal) -> HttpResponse:
    """Make Django's response of it."""
    response = HttpResponse(
        refusal.body, status=refusal.status, headers=refusal.headers
    )
    # The cause is logged by pooled_db, once a second; Django would mail each to ADMINS.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@lru_cache(maxsize=256)
def prefers_json(accept: str) -> bool:
    """Whether an ``Accept`` header asks for JSON rather than for HTML.

    https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
    """
    quality = {"html": -1.0, "json": -1.0}
    for part in accept.lower().split(","):
        media_type, _, parameters = part.strip().partition(";")
        subtype = media_type.strip().partition("/")[2]
        kind = "json" if subtype == "json" or subtype.endswith("+json") else "html"
        if kind == "html" and subtype not in ("html", "xhtml+xml"):
            continue
        quality[kind] = max(quality[kind], _quality(parameters))
    return quality["json"] > max(quality["html"], 0.0)


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _json(reason: Reason) -> bytes:
    # https://www.rfc-editor.org/rfc/rfc9457
    problem = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": _DETAILS[reason],
        "reason": reason.value,
    }
    return json.dumps(problem).encode()


@lru_cache(maxsize=32)
def _html(reason: Reason, language: str | None, age: int) -> bytes:
    """Render the project's ``503.html``, or the built-in page.

    Once for each *language* and *age*: refusals come by the thousand.
    """
    context = {"reason": reason.value, "detail": _DETAILS[reason]}
    page = None
    try:
        page = _project_page(context)
    except Exception as error:
        if type(error) not in _logged_failures:
            _logged_failures.add(type(error))
            logger.exception("503.html cannot be rendered; the built-in page is sent.")
    return _PAGE.format(**context).encode() if page is None else page


def _project_page(context: dict[str, str]) -> bytes | None:
    """Render ``503.html`` if there is one.

    It gets no request, so that no context processor asks the database.
    """
    try:
        template = loader.get_template("503.html")
    except TemplateDoesNotExist:
        return None
    return template.render(context).encode()


def _settings_changed(*, setting: str, **kwargs: object) -> None:
    if setting == "TEMPLATES":
        _html.cache_clear()


setting_changed.connect(_settings_changed)
