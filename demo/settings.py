"""Settings of the ticket sale. What pooled_db needs is marked with "pool"."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).parent

POOL_SIZE = int(os.environ.get("DEMO_POOL_SIZE", "10"))

DATABASES = {
    "default": {
        "ENGINE": "pooled_db.backends.mysql",  # pool
        "NAME": os.environ.get("DEMO_DB_NAME", "demo"),
        "USER": os.environ.get("DEMO_DB_USER", "demo"),
        "PASSWORD": os.environ.get("DEMO_DB_PASSWORD", ""),
        "HOST": os.environ.get("DEMO_DB_HOST", "127.0.0.1"),
        "PORT": os.environ.get("DEMO_DB_PORT", "3306"),
        "OPTIONS": {
            # All processes together: no more than the server's max_connections.
            "pool": {"pool_size": POOL_SIZE},  # pool
        },
    }
}

MIDDLEWARE = [
    "pooled_db.middleware.PooledConnectionMiddleware",  # pool: first of all
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

INSTALLED_APPS = [
    "pooled_db",  # pool
    "demo.tickets",
]

POOLED_DB: dict[str, object] = {
    "EXEMPT": [r"^healthz$"],  # pool: no database there, so never queue
}

# The comparison serves the same site on other backends, without all that.
ENGINE = os.environ.get("DEMO_ENGINE", "pooled_db.backends.mysql")
if ENGINE != "pooled_db.backends.mysql":
    DATABASES["default"]["ENGINE"] = ENGINE
    DATABASES["default"]["OPTIONS"] = {}
    MIDDLEWARE.remove("pooled_db.middleware.PooledConnectionMiddleware")
    INSTALLED_APPS.remove("pooled_db")
if ENGINE == "dj_db_conn_pool.backends.mysql":
    DATABASES["default"]["POOL_OPTIONS"] = {"POOL_SIZE": POOL_SIZE, "MAX_OVERFLOW": 0}

# `make site` shows the shop in a frame, beside its pool.
if os.environ.get("DEMO_STAGED"):
    MIDDLEWARE.remove("django.middleware.clickjacking.XFrameOptionsMiddleware")

# What a purchase waits for in the database, in seconds: a slow query, say.
DEMO_WORK_SECONDS = float(os.environ.get("DEMO_WORK_SECONDS", "0.02"))

SECRET_KEY = os.environ.get("DEMO_SECRET_KEY", "for the demo only")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
DEBUG = False
ROOT_URLCONF = "demo.urls"
WSGI_APPLICATION = "demo.wsgi.application"
ASGI_APPLICATION = "demo.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],  # 503.html
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request"]
        },
    }
]

# Errors go to the server's log; DEBUG = False would mail them to ADMINS too.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"log": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["log"], "level": "WARNING"},
    "loggers": {"django": {"handlers": [], "propagate": True}},
}
