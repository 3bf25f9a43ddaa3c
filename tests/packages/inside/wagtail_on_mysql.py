"""Wagtail's settings for its tests, with our databases."""

import tempfile

from suite_of_others import DATABASES  # type: ignore[import-not-found]
from wagtail.test.settings import *  # type: ignore[import-not-found]  # noqa: F403

DATABASES = {"default": DATABASES["default"]}
TEST_RUNNER = "suite_of_others.Runner"
# Two runs at once would meet each other's files.
_media = tempfile.TemporaryDirectory(prefix="pooled_db-media-")
MEDIA_ROOT = _media.name
