"""Django's checks of models, where there is no server to be asked."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.core.checks.model_checks import check_all_models
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

from .backends.mysql.base import PooledMixin

#: What a server says that can do all that any MySQL or MariaDB can, so that no model is
#: blamed for what the real one may well be able to do.
ABLE_SERVER = {
    "version": "99.99.99",
    "sql_mode": "STRICT_TRANS_TABLES",
    "default_storage_engine": "InnoDB",
    "sql_auto_is_null": False,
    "lower_case_table_names": False,
    "has_zoneinfo_database": True,
}


def register() -> None:
    """Put these checks of models in the place of Django's own."""
    registry.registered_checks.discard(check_all_models)
    checks.register(check_models, checks.Tags.models)


def check_models(
    app_configs: Any = None, databases: Any = None, **kwargs: Any
) -> list[CheckMessage]:
    """Do what Django's check does, and ask no server that cannot be asked.

    Django's asks each database which features it has, and raises what comes of it. A
    database that cannot be used is pooled_db.E005, and its models are judged as if the
    server were able to do everything. So they are if no database checks are run: since
    6.1 Django asks all databases even then.
    """
    may_ask = _are_asked(sys._getframe(1).f_locals.get("checks"))
    with contextlib.ExitStack() as stack:
        for alias in databases or ():
            try:
                connection = connections[alias]
            except (ImproperlyConfigured, ImportError):
                continue  # its driver is missing, which is for Django to say
            if isinstance(connection, PooledMixin) and not (
                may_ask and _answers(connection)
            ):
                stack.enter_context(_replaced_by_an_able_one(alias, connection))
        return list(
            check_all_models(app_configs=app_configs, databases=databases, **kwargs)
        )


def _are_asked(running: Any) -> bool:
    """Whether database checks are among those that are *running*.

    *running* is the list in Django's ``run_checks``, which does not pass on whether
    databases were named. Without it, they are asked.
    """
    if not isinstance(running, list):
        return True
    return any(checks.Tags.database in check.tags for check in running)


def _answers(connection: PooledMixin) -> bool:
    try:
        return bool(connection.mysql_server_data)
    except (DatabaseError, ImproperlyConfigured):
        return False


@contextlib.contextmanager
def _replaced_by_an_able_one(alias: str, connection: PooledMixin) -> Iterator[None]:
    """Have another wrapper in the place of *connection*.

    A wrapper and its features remember for good what they have been told.
    """
    able = type(connection)(connection.settings_dict, alias)
    vars(able)["mysql_server_data"] = ABLE_SERVER
    connections[alias] = able
    try:
        yield
    finally:
        connections[alias] = connection
