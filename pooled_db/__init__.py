"""Request-scoped connection pooling for Django on MySQL and MariaDB."""

from .exceptions import PoolTimeout, ServerUnavailable
from .pool.stats import PoolStats
from .pools import stats
from .request.release import arelease, release

__version__ = "0.1.0"

__all__ = [
    "PoolStats",
    "PoolTimeout",
    "ServerUnavailable",
    "__version__",
    "arelease",
    "release",
    "stats",
]
