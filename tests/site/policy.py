"""The strictest policy that a site can have its own pages in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest


def self_only(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], Any]:
    """Let browsers take scripts, styles and data from the site's own files alone."""

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'self'"
        return response

    return middleware
