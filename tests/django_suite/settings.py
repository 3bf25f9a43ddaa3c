"""Settings for Django's runtests.py: those of its own test_sqlite.py, on MySQL."""

from __future__ import annotations

import json
import os

#: The environment's name for what DATABASES is to be, as JSON.
DATABASES_VARIABLE = "DJANGO_SUITE_DATABASES"

DATABASES = json.loads(os.environ.get(DATABASES_VARIABLE, "{}"))

TEST_RUNNER = "tests.django_suite.recording.RecordingRunner"

SECRET_KEY = "only for tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a fast one
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
