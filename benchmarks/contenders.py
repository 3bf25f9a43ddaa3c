"""Who is measured, and what a site writes to use it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

ServerName = Literal["gunicorn", "uvicorn"]
SERVERS: tuple[ServerName, ...] = ("gunicorn", "uvicorn")

MIDDLEWARE = "pooled_db.middleware.PooledConnectionMiddleware"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to connect Django to its database.

    With ``door``, as by default, requests to pooled_db queue in front of Django;
    without it in the middleware.
    """

    title: str
    engine: str
    module: str
    middleware: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    door: bool = False
    conn_max_age: int | None = 0
    reset: str | None = None

    @property
    def has_pool(self) -> bool:
        return not self.engine.startswith("django.")

    def settings(
        self, database: Mapping[str, Any], pool_size: int | None
    ) -> dict[str, Any]:
        """Django's settings for it on *database*; no *pool_size* is its default."""
        return {
            "DATABASES": {"default": self._database(database, pool_size)},
            "MIDDLEWARE": list(self.middleware),
            "INSTALLED_APPS": list(self.apps),
            "POOLED_DB": {"DOOR": self.door},
        }

    def _database(
        self, database: Mapping[str, Any], pool_size: int | None
    ) -> dict[str, Any]:
        own = {**database, "ENGINE": self.engine, "CONN_MAX_AGE": self.conn_max_age}
        if self.engine.startswith("pooled_db"):
            pool = _without_none(pool_size=pool_size, reset=self.reset)
            own["OPTIONS"] = {**database.get("OPTIONS", {}), "pool": pool}
        elif self.engine.startswith("dj_db_conn_pool") and pool_size is not None:
            own["POOL_OPTIONS"] = {"POOL_SIZE": pool_size, "MAX_OVERFLOW": 0}
        return own

    def lacks(self, server: ServerName) -> str | None:
        """The module without which it cannot be served here, if there is one."""
        needed = [self.module, server]
        return next((name for name in needed if not _is_installed(name)), None)


def _without_none(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


DJANGO = Contender("Django alone", "django.db.backends.mysql", "django")
DJ_POOL = Contender(
    "django-db-connection-pool", "dj_db_conn_pool.backends.mysql", "dj_db_conn_pool"
)
POOLED = Contender(
    "pooled_db, middleware",
    "pooled_db.backends.mysql",
    "pooled_db",
    middleware=(MIDDLEWARE,),
    apps=("pooled_db",),
)
DOOR = replace(POOLED, title="pooled_db, door", door=True)

#: Who is put under overload.
CONTENDERS: Mapping[str, Contender] = {
    "django": DJANGO,
    "dj-pool": DJ_POOL,
    "middleware": POOLED,
    "door": DOOR,
}

#: What each request costs is asked of these. All are compared with the first that
#: opens no connections per request, at least under WSGI: "persistent".
COSTING: Mapping[str, Contender] = {
    "django": replace(DJANGO, title="Django, CONN_MAX_AGE=0"),
    "persistent": replace(DJANGO, title="Django, CONN_MAX_AGE=None", conn_max_age=None),
    "dj-pool": DJ_POOL,
    "pooled": replace(POOLED, title="pooled_db"),
    "always": replace(POOLED, title="pooled_db, reset always", reset="always"),
    "rollback": replace(POOLED, title="pooled_db, reset rollback", reset="rollback"),
    "door": DOOR,
}

#: What nobody can do with less, who takes a request's connection from a QueuePool.
BARE_QUEUEPOOL = replace(
    COSTING["persistent"],
    title="QueuePool and nothing else",
    module="sqlalchemy",
    middleware=("benchmarks.site.bare_queuepool.Middleware",),
)

#: What `startproject` writes, with what these need.
ORDINARY_MIDDLEWARE = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)
ORDINARY_APPS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
)


def ordinary(contender: Contender) -> Contender:
    """The same on a site as `startproject` makes it, after its own middleware."""
    return replace(
        contender,
        middleware=(*contender.middleware, *ORDINARY_MIDDLEWARE),
        apps=(*contender.apps, *ORDINARY_APPS),
    )
