"""The Django app: it registers the system checks."""

from django.apps import AppConfig


class PooledDBConfig(AppConfig):
    name = "pooled_db"
    verbose_name = "Database connection pools"

    def ready(self) -> None:
        from . import checks

        checks.register()
