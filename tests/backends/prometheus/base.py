"""django-prometheus' backend with a pool, as docs/how-to/backends.md has it."""

from django_prometheus.db.backends.mysql import (  # type: ignore[import-untyped]
    base as prometheus,
)

from pooled_db.backends.mysql.base import PooledMixin


class DatabaseWrapper(prometheus.DatabaseWrapper, PooledMixin):  # type: ignore[misc]
    pass
