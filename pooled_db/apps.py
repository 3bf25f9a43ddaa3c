"""The Django app: it registers the system checks, and puts the doors in."""

from django.apps import AppConfig


class PooledDBConfig(AppConfig):
    name = "pooled_db"
    verbose_name = "Database connection pools"

    def ready(self) -> None:
        from . import asgi, checks, wsgi

        checks.register()
        asgi.install()
        wsgi.install()
