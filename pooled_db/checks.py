"""System checks: what is wrong with the settings, and what to write instead.

The identifiers are permanent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections
from django.db.backends.signals import connection_created

from . import conf, model_checks, pools
from .placement import MIDDLEWARE, places
from .workers import configured_workers

#: Where other packages want the options of a pool, at the top or in ``DATABASES``.
OTHERS = "POOL_OPTIONS"

#: From how many threads for each connection on there are too many of them.
MANY_THREADS = 16

#: Django's middleware that may ask the database.
USES_DATABASE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
)


def register() -> None:
    model_checks.register()
    checks.register(check_pools)
    checks.register(check_ignored_settings)
    checks.register(check_hold)
    checks.register(check_patterns)
    checks.register(check_middleware_settings)
    checks.register(check_middleware)
    checks.register(check_threads)


def check_pools(**kwargs: Any) -> list[CheckMessage]:
    """Judge ``OPTIONS["pool"]``, ``SQLALCHEMY_QUEUEPOOL`` and ``CONN_MAX_AGE``."""
    problems = [
        problem
        for alias in pools.pooled_aliases()
        for problem in conf.pool_problems(alias, connections.settings[alias])
    ]
    # What is wrong in SQLALCHEMY_QUEUEPOOL is wrong for each alias.
    return [
        checks.Error(problem, id="pooled_db.E001")
        for problem in dict.fromkeys(problems)
    ]


def check_ignored_settings(**kwargs: Any) -> list[CheckMessage]:
    """Find what other packages and Django itself heed, and a pool does not."""
    messages: list[CheckMessage] = []
    pooled = pools.pooled_aliases()
    where = [
        f'DATABASES["{alias}"]["{OTHERS}"]'
        for alias in pooled
        if OTHERS in (connections.settings[alias])
    ]
    if pooled and hasattr(settings, OTHERS):
        where.append(f"The setting {OTHERS}")
    messages.extend(
        checks.Warning(
            f"{place} has no effect: it is another package's.",
            hint=(
                "Write the options, in lower case, into "
                'DATABASES[...]["OPTIONS"]["pool"] or SQLALCHEMY_QUEUEPOOL.'
            ),
            id="pooled_db.W004",
        )
        for place in where
    )
    messages.extend(
        checks.Warning(
            f'DATABASES["{alias}"]["CONN_HEALTH_CHECKS"] has no effect: the pool looks '
            "at each connection before it lends it, without asking the server.",
            hint=(
                'Remove it. To ping connections that were idle, set "ping_after" in '
                f'DATABASES["{alias}"]["OPTIONS"]["pool"].'
            ),
            id="pooled_db.W005",
        )
        for alias in pooled
        if connections.settings[alias].get("CONN_HEALTH_CHECKS")
    )
    return messages


def check_hold(**kwargs: Any) -> list[CheckMessage]:
    """Find what does not go together with ``"hold": "transaction"``."""
    messages: list[CheckMessage] = []
    for alias in pools.pooled_aliases():
        database = connections.settings[alias]
        if conf.pool_problems(alias, database):
            continue  # pooled_db.E001 says what is wrong.
        pool = conf.pool_settings(alias, database)
        if pool.hold != "transaction":
            continue
        if pool.reset == "rollback":
            messages.append(
                checks.Warning(
                    f'The pool of {alias!r} has "hold": "transaction" and "reset": '
                    '"rollback": what a request sets in its session would stay with a '
                    "connection that others use in between.",
                    hint='Leave out "reset", or set "hold" to "request".',
                    id="pooled_db.W007",
                )
            )
        if connection_created.receivers:
            messages.append(
                checks.Info(
                    "There are receivers of connection_created. One that sets "
                    f"something in the session of {alias!r} makes its request hold the "
                    'connection to the end, as with "hold": "request".',
                    hint='Write such statements into OPTIONS["init_command"].',
                    id="pooled_db.I003",
                )
            )
    return messages


def check_patterns(**kwargs: Any) -> list[CheckMessage]:
    """Find patterns of ``POOLED_DB`` that no path can match."""
    if conf.middleware_problems():
        return []
    middleware = conf.middleware_settings()
    found = [
        (option, pattern, match)
        for option in ("EXEMPT", "PRIORITY")
        for pattern in getattr(middleware, option.lower())
        if (match := _LEADING_SLASH.match(pattern)) is not None
    ]
    return [
        checks.Warning(
            f'POOLED_DB["{option}"] has {pattern!r} in it, whose {match[0]!r} matches '
            "nothing: a path is matched without its leading slash.",
            hint=f"Write {match[1] + pattern[match.end() :]!r}.",
            id="pooled_db.W006",
        )
        for option, pattern, match in found
    ]


_GROUPS = r"(?:\((?:\?:)?)*"
#: The beginning of the path and a slash that must be there, in flags and groups.
_LEADING_SLASH = re.compile(
    rf"((?:\(\?[a-zA-Z]+\))?{_GROUPS}(?:\^|\\A){_GROUPS})\\?/(?![?*{{])"
)


def check_middleware_settings(**kwargs: Any) -> list[CheckMessage]:
    """Judge ``POOLED_DB``."""
    problems = conf.middleware_problems()
    if not problems:
        pooled = pools.pooled_aliases()
        problems = [
            f'POOLED_DB["ALIASES"] names {alias!r}, which has no pool.'
            for alias in conf.middleware_settings().aliases or ()
            if alias not in pooled
        ]
    return [checks.Error(problem, id="pooled_db.E002") for problem in problems]


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """See that the middleware is there once, and above what uses the database."""
    return list(_middleware_messages(pools.pooled_aliases(), settings.MIDDLEWARE))


def _middleware_messages(
    pooled: Sequence[str], middleware: Sequence[str]
) -> Iterator[CheckMessage]:
    found = places(middleware)
    if not found and pooled:
        yield checks.Warning(
            "The pool has no middleware: a request that gets no connection is "
            "answered with a 500.",
            hint=f'Make "{MIDDLEWARE}" the first entry of MIDDLEWARE.',
            id="pooled_db.W001",
        )
    if found and not pooled:
        yield checks.Warning(
            f"{MIDDLEWARE} has nothing to do: no database is pooled.",
            hint='Set DATABASES["default"]["ENGINE"] to "pooled_db.backends.mysql".',
            id="pooled_db.W002",
        )
    if len(found) > 1:
        yield checks.Error(
            f"{MIDDLEWARE} stands {len(found)} times in MIDDLEWARE.",
            hint="Keep the first and remove the others.",
            id="pooled_db.E003",
        )
    for path in middleware[: found[0] if found else 0]:
        if path in USES_DATABASE:
            yield checks.Error(
                f"{path} may use the database and stands above {MIDDLEWARE}.",
                hint=f'Make "{MIDDLEWARE}" the first entry of MIDDLEWARE.',
                id="pooled_db.E004",
            )


def check_threads(**kwargs: Any) -> list[CheckMessage]:
    """Compare the pools with the threads of the application server, if it is known."""
    threads = configured_workers().threads
    if threads is None or conf.middleware_problems():
        return []
    return [
        message
        for alias in conf.middleware_settings().aliases or ("default",)
        if alias in pools.pooled_aliases()
        and not conf.pool_problems(alias, connections.settings[alias])
        for message in _thread_messages(
            alias, conf.pool_settings(alias, connections.settings[alias]), threads
        )
    ]


def _thread_messages(
    alias: str, pool: conf.PoolSettings, threads: int
) -> Iterator[CheckMessage]:
    limit = pool.pool_size + pool.max_overflow
    if threads > MANY_THREADS * limit:
        yield checks.Info(
            f"{threads} threads share {limit} connections to {alias!r} in each "
            "process: most of them can only wait.",
            hint="Raise pool_size if the server bears it, or run fewer threads.",
            id="pooled_db.I001",
        )
    if 1 < threads <= limit:
        yield checks.Info(
            f"With {threads} threads and {limit} connections to {alias!r} in each "
            "process nobody ever waits for a connection: under overload requests queue "
            "in the application server, where none is refused in time.",
            hint=(
                "Run more threads than connections: four to sixteen times as many, or "
                "lower pool_size. Some threads are then always left to refuse requests."
            ),
            id="pooled_db.I002",
        )
