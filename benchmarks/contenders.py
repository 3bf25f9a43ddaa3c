"""Who is measured, and what a site writes to use it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ServerName = Literal["gunicorn", "uvicorn"]
SERVERS: tuple[ServerName, ...] = ("gunicorn", "uvicorn")

MIDDLEWARE = "pooled_db.middleware.PooledConnectionMiddleware"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to connect Django to its database.

    With ``door`` the site is made by pooled_db's get_asgi_application() or
    get_wsgi_application(), in place of Django's.
    """

    title: str
    engine: str
    module: str
    middleware: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    door: bool = False

    def settings(
        self, database: Mapping[str, Any], pool_size: int | None
    ) -> dict[str, Any]:
        """Django's settings for it on *database*; no *pool_size* is its default."""
        return {
            "DATABASES": {
                "default": {
                    **database,
                    "ENGINE": self.engine,
                    **self._pool_options(pool_size),
                }
            },
            "MIDDLEWARE": list(self.middleware),
            "INSTALLED_APPS": list(self.apps),
        }

    def _pool_options(self, pool_size: int | None) -> dict[str, Any]:
        if pool_size is None:
            return {}
        if self.engine.startswith("pooled_db"):
            return {"OPTIONS": {"pool": {"pool_size": pool_size, "max_overflow": 0}}}
        if self.engine.startswith("dj_db_conn_pool"):
            return {"POOL_OPTIONS": {"POOL_SIZE": pool_size, "MAX_OVERFLOW": 0}}
        return {"CONN_MAX_AGE": 0}

    def lacks(self, server: ServerName) -> str | None:
        """The module without which it cannot be served here, if there is one."""
        entry = {"gunicorn": "pooled_db.wsgi", "uvicorn": "pooled_db.asgi"}[server]
        needed = [self.module, *([entry] if self.door else [])]
        return next((name for name in needed if not _is_installed(name)), None)


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


CONTENDERS: Mapping[str, Contender] = {
    "django": Contender("Django alone", "django.db.backends.mysql", "django"),
    "dj-pool": Contender(
        "django-db-connection-pool", "dj_db_conn_pool.backends.mysql", "dj_db_conn_pool"
    ),
    "middleware": Contender(
        "pooled_db, middleware",
        "pooled_db.backends.mysql",
        "pooled_db",
        middleware=(MIDDLEWARE,),
        apps=("pooled_db",),
    ),
    "door": Contender(
        "pooled_db, door",
        "pooled_db.backends.mysql",
        "pooled_db",
        middleware=(MIDDLEWARE,),
        apps=("pooled_db",),
        door=True,
    ),
}
