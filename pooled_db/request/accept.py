"""Whether a client wants JSON or HTML."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from django.http.request import MediaType

#: How precise a name is, beside a wildcard.
NAMED = 2


@lru_cache(maxsize=256)
def prefers_json(accept: str) -> bool:
    """Whether an ``Accept`` header likes JSON better than HTML.

    Of what both a wildcard and a name allow, the name is more wanted: scripts ask for
    ``application/json, */*``. What is liked equally well is HTML.
    https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
    """
    html, json_ = _Preference(), _Preference()
    for part in accept.lower().split(","):
        try:
            wanted = MediaType(part)
        except (ValueError, LookupError):
            continue  # Of an unknown encoding, or for some Djangos too long.
        kind, subtype = wanted.main_type.strip(), wanted.sub_type.strip()
        quality = _quality(wanted.params.get("q", 1))
        if subtype == "json" or subtype.endswith("+json"):
            json_ = json_.or_better(NAMED, quality)
        elif subtype in ("html", "xhtml+xml"):
            html = html.or_better(NAMED, quality)
        elif subtype == "*" and kind in ("application", "*"):
            json_ = json_.or_better(int(kind != "*"), quality)
        if subtype == "*" and kind in ("text", "*"):
            html = html.or_better(int(kind != "*"), quality)
    return json_.quality > 0.0 and (
        (json_.quality, json_.precision) > (html.quality, html.precision)
    )


@dataclass(frozen=True, slots=True)
class _Preference:
    """How much one kind of content is liked, by the most precise that is said of it."""

    precision: int = -1
    quality: float = -1.0

    def or_better(self, precision: int, quality: float) -> _Preference:
        other = _Preference(precision, quality)
        return max(self, other, key=lambda one: (one.precision, one.quality))


def _quality(q: bytes | str | float) -> float:
    """What ``q`` says, from 0 to 1; nonsense counts as dislike."""
    try:
        quality = float(q)
    except ValueError:
        return 0.0
    return quality if 0.0 < quality <= 1.0 else 0.0
