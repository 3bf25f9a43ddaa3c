"""django-prometheus' backend with a pool, as docs/settings.md has it."""

from django_prometheus.db.backends.mysql import base as prometheus

from pooled_db.backends.mysql.base import PooledMixin


class DatabaseWrapper(prometheus.DatabaseWrapper, PooledMixin):
    pass
