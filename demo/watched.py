"""The ticket sale with all there is to see of its pools: what `make site` serves."""

import os

from demo.settings import *  # noqa: F403
from demo.settings import INSTALLED_APPS, MIDDLEWARE, TEMPLATES

INSTALLED_APPS += [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "pooled_db.dashboard",
]
MIDDLEWARE.insert(0, "whitenoise.middleware.WhiteNoiseMiddleware")
MIDDLEWARE += [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        **TEMPLATES[0],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
POOLED_DB = {
    "EXEMPT": [
        *(r"^healthz$", r"^pools/", r"^metrics$"),
        r"^admin/pooled_db_dashboard/pools/",
    ],
}
if state_dir := os.environ.get("DEMO_STATE_DIR"):
    POOLED_DB["STATE_DIR"] = state_dir
if os.environ.get("DEMO_STAGED"):
    MIDDLEWARE += ["demo.stage.onlooker.onlooker"]
ROOT_URLCONF = "demo.watched_urls"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # instead of collectstatic
ALLOWED_HOSTS = ["localhost", "127.0.0.1", *os.environ.get("DEMO_HOSTS", "").split()]
