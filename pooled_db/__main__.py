"""What a report of a fault needs: ``python -m pooled_db --settings yoursite.settings``.

It tells versions and settings, and no host, account, password or name of a database.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from . import __version__

#: Whose versions matter, by the names under which they are installed.
PACKAGES = ("Django", "SQLAlchemy", "mysqlclient", "PyMySQL")
SERVERS = ("gunicorn", "uvicorn", "uWSGI", "granian", "hypercorn", "daphne", "gevent")
OTHERS = ("celery", "channels", "prometheus-client", "django-debug-toolbar")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pooled_db", description="Tell what a report of a fault needs."
    )
    parser.add_argument(
        "--settings",
        default=os.environ.get("DJANGO_SETTINGS_MODULE"),
        help="the project's settings, if DJANGO_SETTINGS_MODULE does not name them",
    )
    parser.add_argument(
        "--server", action="store_true", help="ask each database server for its version"
    )
    options = parser.parse_args(arguments)
    for name, text in report(options.settings, options.server):
        print(f"{name:<20} {text}")
    return 0


def report(settings_module: str | None, ask: bool) -> Iterator[tuple[str, str]]:
    """Yield the lines: what, and what there is to say of it."""
    yield "pooled_db", __version__
    yield "Python", f"{platform.python_version()}, {platform.python_implementation()}"
    yield "system", platform.platform()
    for package in (*PACKAGES, *SERVERS, *OTHERS):
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
    yield "client library", _client_library()
    if settings_module is None:
        yield "settings", "none: give --settings, or set DJANGO_SETTINGS_MODULE"
    else:
        yield from _project(settings_module, ask)


def _client_library() -> str:
    import MySQLdb

    return str(MySQLdb.get_client_info())


def _project(settings_module: str, ask: bool) -> Iterator[tuple[str, str]]:
    os.environ["DJANGO_SETTINGS_MODULE"] = settings_module
    sys.path.insert(0, os.getcwd())
    import django
    from django.conf import settings
    from django.db import connections

    from . import conf, pools
    from .placement import places

    django.setup()
    found = [str(place + 1) for place in places(settings.MIDDLEWARE)]
    yield (
        "middleware",
        f"at {', '.join(found) or 'no place'} of {len(settings.MIDDLEWARE)}",
    )
    problems = conf.middleware_problems()
    yield (
        conf.MIDDLEWARE_SETTINGS,
        " ".join(problems) or _changed(conf.middleware_settings()),
    )
    for alias, database in settings.DATABASES.items():
        engine = database.get("ENGINE", "")
        if pools.is_pooled(alias):
            problems = conf.pool_problems(alias, database)
            told = " ".join(problems) or _changed(conf.pool_settings(alias, database))
            others = sorted(set(database.get("OPTIONS", {})) - {"pool"})
            engine += f"; pool: {told}; other OPTIONS: {', '.join(others) or 'none'}"
        yield f"database {alias}", engine
        if ask and connections[alias].vendor == "mysql":
            yield f"server of {alias}", _server(alias)


def _changed(settings: object) -> str:
    """What differs from the defaults; functions and patterns by their number only."""
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    changed = [
        f"{field.name} {_told(getattr(settings, field.name))}"
        for field in fields
        if getattr(settings, field.name) != field.default
    ]
    return ", ".join(changed) or "the defaults"


def _told(value: object) -> str:
    if isinstance(value, (bool, int, float)) or value is None:
        return str(value)
    if isinstance(value, tuple):
        return f"({len(value)} entries)"
    return repr(value) if isinstance(value, str) else f"(a {type(value).__name__})"


def _server(alias: str) -> str:
    from django.db import DatabaseError, connections

    connection = connections[alias]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            return str(cursor.fetchone()[0])
    except DatabaseError as error:
        number = error.args[0] if error.args else ""
        return f"cannot be asked: {type(error).__name__} {number}"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
