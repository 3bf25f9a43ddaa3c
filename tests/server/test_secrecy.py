"""Nothing tells a client or a log who the database is and what was asked of it."""

from __future__ import annotations

import gc
import logging
import pickle
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import MySQLdb
import pytest
from django.db import OperationalError, connection, connections
from django.test import RequestFactory

import pooled_db
from pooled_db import PoolTimeout, ServerUnavailable, pools
from pooled_db.backends.mysql.base import PooledMixin
from pooled_db.driver.errors import mark_pooled
from pooled_db.exceptions import Reason
from pooled_db.pool.permit import Permit
from pooled_db.request.admission import Admission
from pooled_db.request.incoming import FromDjango
from pooled_db.request.refusals import refusal_log
from pooled_db.request.scope import Scope

HOST, USER, PASSWORD, SQL = "secret-host", "secret-user", "secret-pass", "secret_table"
TOLD = f"'{USER}'@'{HOST}' (using password: {PASSWORD}), near SELECT * FROM {SQL}"


def lost() -> Exception:
    """What Django raises for a connection that broke."""
    error = OperationalError(2013, TOLD)
    cause = MySQLdb.OperationalError(2013, TOLD)
    mark_pooled(cause, "default")
    error.__cause__ = cause
    return error


def unavailable() -> Exception:
    error = ServerUnavailable(2003, TOLD)
    error.alias = "default"
    return error


ERRORS: dict[str, Callable[[], Exception]] = {
    "lost": lost,
    "unavailable": unavailable,
    **{
        reason.value: partial(PoolTimeout, "default", reason, 5.0, 4, 4, 7)
        for reason in (Reason.TIMEOUT, Reason.QUEUE_FULL, Reason.OVERLOADED)
    },
}


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_503_and_its_line_in_the_log_tell_no_secret(
    error: str, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    refusal_log._last.clear()
    incoming = FromDjango(RequestFactory().get("/", headers={"accept": accept}))
    refusal = Admission().refuse(Scope(), ERRORS[error](), incoming)
    (record,) = caplog.records
    for text in (record.getMessage(), repr(refusal.headers), refusal.body.decode()):
        assert "secret" not in text.lower()


@pytest.mark.django_db(transaction=True)
def test_what_an_object_says_of_itself_tells_no_secret() -> None:
    database = connection.settings_dict
    secrets = {database["HOST"], database["PASSWORD"], SQL}
    scope = Scope()
    pool = pools.for_alias("default")
    connections.close_all()
    scope.check_out(pool)
    borrower = weakref.ref(cast("PooledMixin", connection))
    loan = scope.lend_ready(connection.settings_dict, pool.alias, borrower)
    assert loan is not None
    try:
        said = [
            repr(one)
            for one in (
                pool,
                pool.gate,
                pool._connector.outages.of(pool.home),
                scope,
                loan,
                loan.connection,
                Permit(),
                pooled_db.stats(),
                PoolTimeout("default", Reason.TIMEOUT, 5.0, 4, 4, 7),
            )
        ]
    finally:
        scope.close()
    assert not [text for text in said if any(secret in text for secret in secrets)]
    assert "open" in repr(loan.connection)
    assert loan.connection is not None
    loan.connection.close()
    assert "closed" in repr(loan.connection)
    pools.for_alias("default").checkout().checkin()


@pytest.mark.django_db(transaction=True)
def test_a_reported_leak_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pooled_db")
    connections.close_all()

    def leak() -> None:
        wrapper = connection.copy()
        with wrapper.cursor() as cursor:
            cursor.execute(f"SELECT '{SQL}'")

    leak()
    gc.collect()
    database = connection.settings_dict
    assert "never given back" in caplog.text
    for secret in (database["HOST"], database["PASSWORD"], SQL):
        assert secret not in caplog.text


def test_an_error_that_is_passed_on_takes_no_secret_with_it() -> None:
    error = PoolTimeout("default", Reason.TIMEOUT, 5.0, 4, 4, 7)
    again: Any = pickle.loads(pickle.dumps(error))
    assert (str(again), again.args) == (str(error), error.args)
    assert set(vars(again)) <= {
        *("alias", "reason", "waited", "in_use", "limit", "waiting"),
        *("own", "holders"),
        *("code", "connection_invalidated"),
    }
