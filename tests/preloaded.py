"""A site that asks its database while it is imported, for gunicorn's --preload."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.db import connection  # noqa: E402

from tests.site.views import ask  # noqa: E402

AT_IMPORT = ask("SELECT CONNECTION_ID()")


def application(
    environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    answer = f"{os.getpid()} {ask('SELECT CONNECTION_ID()')}"
    connection.close()
    if environ["PATH_INFO"] == "/at-import":
        answer = str(AT_IMPORT)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()]
