"""Settings of the tests and, with TEST_SETTINGS, of the sites that they start."""

from __future__ import annotations

import json
import os
from typing import Any

_given: dict[str, Any] = json.loads(os.environ.get("TEST_SETTINGS", "{}"))

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.site.urls"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "pooled_db",
    "tests.site",
]
MIDDLEWARE = ["pooled_db.middleware.PooledConnectionMiddleware"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
    }
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django": {"handlers": ["console"], "propagate": False}},
}
POOLED_DB = {"EXEMPT": [r"^exempt/"], "STATE_DIR": None}

if "DATABASES" not in _given:
    from tests.database_server import SERVER

    def _pooled(name: str) -> dict[str, Any]:
        database = SERVER.settings(name, pool={"pool_size": 4, "timeout": 2})
        return {"ENGINE": "pooled_db.backends.mysql", **database}

    DATABASES = {
        "default": _pooled("pooled_default"),
        "other": _pooled("pooled_other"),
        "replica": {**_pooled("pooled_default"), "TEST": {"MIRROR": "default"}},
    }

globals().update(_given)
