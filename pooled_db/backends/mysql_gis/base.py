"""GeoDjango's MySQL backend with a pool."""

from django.contrib.gis.db.backends.mysql import base as mysql_gis

from ..mysql.base import PooledMixin


class DatabaseWrapper(PooledMixin, mysql_gis.DatabaseWrapper):
    """GeoDjango's MySQL and MariaDB backend with a pool."""
