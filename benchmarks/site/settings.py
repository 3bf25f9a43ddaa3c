"""Settings of the measured site; a contender's own come in BENCH_SETTINGS, as JSON."""

from __future__ import annotations

import json
import os
from typing import Any

_contender: dict[str, Any] = json.loads(os.environ["BENCH_SETTINGS"])

SECRET_KEY = "only for benchmarks"
ALLOWED_HOSTS = ["127.0.0.1"]
DEBUG = False
USE_TZ = True
ROOT_URLCONF = "benchmarks.site.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# As in production, errors go to the server's log with their tracebacks.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"log": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["log"], "level": "WARNING"},
    "loggers": {"django": {"handlers": [], "propagate": True}},
}

globals().update(_contender)
