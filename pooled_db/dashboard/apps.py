"""The Django app of the dashboard: its page in the admin, and its permission."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "pooled_db.dashboard"
    label = "pooled_db_dashboard"
    verbose_name = "Database connections"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from .checks import register

        register()
