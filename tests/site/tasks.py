"""The test site's tasks, for a Celery worker whose files are in CELERY_FOLDER."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped]
from celery.exceptions import (  # type: ignore[import-untyped]
    SoftTimeLimitExceeded,
)
from django.db import connection, transaction

_folder = Path(os.environ["CELERY_FOLDER"])
_queue = _folder / "queue"
_control = _folder / "control"
_queue.mkdir(exist_ok=True)
_control.mkdir(exist_ok=True)

# A message can be read before it is written: queue all, and start the worker then.
app = Celery("site", broker="filesystem://localhost")
app.conf.task_ignore_result = True
app.conf.broker_transport_options = {
    "data_folder_in": str(_queue),
    "data_folder_out": str(_queue),
    "control_folder": str(_control),
}


def _tell(outcome: object) -> None:
    with (_folder / "outcomes").open("a") as file:
        file.write(f"{outcome}\n")


def _connection_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        (number,) = cursor.fetchone()
        return int(number)


@app.task  # type: ignore[untyped-decorator]
def tell_connection_id() -> None:
    _tell(_connection_id())


@app.task  # type: ignore[untyped-decorator]
def tell_whether_close_pool_closes() -> None:
    before = _connection_id()
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    _tell(before != _connection_id())


@app.task(soft_time_limit=1)  # type: ignore[untyped-decorator]
def sleep_beyond_the_limit(in_transaction: bool) -> None:
    try:
        if not in_transaction:
            _sleep()
        else:
            with transaction.atomic():
                _sleep()
    except SoftTimeLimitExceeded:
        _tell("interrupted")


def _sleep() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(3)")
