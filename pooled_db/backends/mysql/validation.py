"""What ``check --database`` says of the server."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db import DatabaseError
from django.db.backends.mysql import validation as mysql

from ... import conf
from ...driver.errors import error_code
from ...workers import configured_workers


class DatabaseValidation(mysql.DatabaseValidation):
    """Django's checks of the server, and whether the pool fits into it."""

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        database = self.connection.settings_dict
        if conf.is_pooled(database) and conf.pool_problems(
            self.connection.alias, database
        ):
            return []  # pooled_db.E001 says what is wrong.
        try:
            return [*super().check(**kwargs), *self._check_limit()]
        except DatabaseError as error:
            return [self._unusable(error)]

    def _unusable(self, error: DatabaseError) -> CheckMessage:
        alias = self.connection.alias
        code = error_code(error)
        says = str(error) if code is None else f"{error.args[-1]} (error {code})"
        return checks.Error(
            f"The database {alias!r} cannot be used: {says.rstrip('.')}.",
            hint=(
                "Start the server, or correct HOST, PORT, USER, PASSWORD and NAME in "
                f'DATABASES["{alias}"].'
            ),
            id="pooled_db.E005",
        )

    def _check_limit(self) -> list[CheckMessage]:
        database = self.connection.settings_dict
        if not conf.is_pooled(database):
            return []
        settings = conf.pool_settings(self.connection.alias, database)
        limit = settings.pool_size + settings.max_overflow
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@max_connections")
            (max_connections,) = cursor.fetchone()
        processes = configured_workers().processes or 1
        if limit * processes < max_connections:
            return []
        each = "in each process"
        if processes > 1:
            each = f"in each of {processes} processes, {limit * processes} together"
        return [
            checks.Warning(
                f"The pool of {self.connection.alias!r} may open {limit} connections "
                f"{each}, and the server allows {max_connections} in all.",
                hint=(
                    "Lower pool_size and max_overflow: their sum, times the number of "
                    "processes, must stay below the server's max_connections."
                ),
                id="pooled_db.W003",
            )
        ]
