"""Whether Django closes a connection because it does not work."""

from __future__ import annotations

from django.db.backends.mysql import base as mysql


class JudgedMixin(mysql.DatabaseWrapper):
    """Knows why Django closes: what does not work must not be lent again."""

    health_check_enabled: bool
    health_check_done: bool
    _closes_unusable = False

    @property
    def closes_unusable(self) -> bool:
        """Whether Django closes now what it has found unusable."""
        return self._closes_unusable and not self.health_check_done

    def close_if_health_check_failed(self) -> None:
        if not self.health_check_enabled:
            return
        self._closes_unusable = True
        try:
            super().close_if_health_check_failed()
        finally:
            self._closes_unusable = False

    def close_if_unusable_or_obsolete(self) -> None:
        # Twice for each request, and hardly ever is there any.
        if self.connection is None:
            return
        # If it works, its health check is done before Django looks at its age.
        self._closes_unusable = self.errors_occurred
        try:
            super().close_if_unusable_or_obsolete()
        finally:
            self._closes_unusable = False
