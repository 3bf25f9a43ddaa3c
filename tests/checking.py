"""What Django's checks say of changed settings, in this process and in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connections

from pooled_db.placement import MIDDLEWARE
from tests.harness.processes import completed, free_port
from tests.sites import ROOT, site_settings

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
FIRST_ENTRY = f'Make "{MIDDLEWARE}" the first entry of MIDDLEWARE.'

AddDatabase = Callable[..., None]

#: Nobody listens on it.
NOWHERE = {
    "HOST": "127.0.0.1",
    "PORT": free_port(),
    "NAME": "shop",
    "USER": "shop_user",
    "PASSWORD": "hunter2",
}


def messages(**kwargs: Any) -> list[CheckMessage]:
    """What pooled_db says. No models are checked."""
    return [
        message
        for message in run_checks(app_configs=[], **kwargs)
        if (message.id or "").startswith("pooled_db.")
    ]


def ids(**kwargs: Any) -> list[str | None]:
    return [message.id for message in messages(**kwargs)]


def changes(monkeypatch: pytest.MonkeyPatch, **database: Any) -> None:
    default = connections.settings["default"]
    for name, value in like_the_default(database).items():
        monkeypatch.setitem(default, name, value)


def like_the_default(database: dict[str, Any]) -> dict[str, Any]:
    """The default database's settings, its driver's options too, but for these."""
    default = connections.settings["default"]
    options = {**default["OPTIONS"], **database.get("OPTIONS", {})}
    return {**default, **database, "OPTIONS": options}


def manage(
    *arguments: str, database: dict[str, Any] = NOWHERE, **settings: Any
) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONWARNINGS": "error",
        "TEST_SETTINGS": json.dumps(site_settings(database, **settings)),
    }
    command = [sys.executable, "-m", "django", *arguments]
    return completed(command, env=env, cwd=ROOT)
