"""Celery's prefork workers keep their connection from task to task."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.processes import Keeper, poll
from tests.harness.server import Server
from tests.sites import ROOT, run_python, site_settings

#: Ways to configure a pool.
CONFIGURED: dict[str, dict[str, Any]] = {
    "dict": {"options": {"pool": {"pool_size": 4}}},
    "true": {"options": {"pool": True}},
    "queuepool": {"options": {}, "SQLALCHEMY_QUEUEPOOL": {"pool_size": 4}},
    "nothing": {"options": {}},
}

Work = Callable[..., list[str]]


@pytest.fixture
def work(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Have *tasks* done by a worker with one process; what they tell, one line each."""
    keeper = Keeper("celery")
    monkeypatch.setenv("CELERY_FOLDER", str(keeper.directory))
    database = server.database("pooled_celery")

    def work(tasks: int, queue_them: str, **settings: Any) -> list[str]:
        program = f"from tests.site import tasks\n{queue_them}"
        run_python(program, database, **settings)
        keeper.start(
            [
                *(sys.executable, "-m", "celery", "--app", "tests.site.tasks"),
                *("worker", "--pool", "prefork", "--concurrency", "1"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "TEST_SETTINGS": json.dumps(site_settings(database, **settings)),
            },
            cwd=ROOT,
        )
        told = keeper.directory / "outcomes"
        poll(lambda: told.exists() and told.read_text().count("\n") == tasks)
        return told.read_text().splitlines()

    yield work
    print(keeper.log())
    keeper.close()


@pytest.mark.parametrize("configured", CONFIGURED)
def test_one_connection_serves_task_after_task(work: Work, configured: str) -> None:
    told = work(
        20,
        "for _ in range(20): tasks.tell_connection_id.delay()",
        **CONFIGURED[configured],
    )
    assert len(told) == 20
    assert len(set(told)) == 1


def test_close_pool_in_a_task_closes_the_pool(work: Work) -> None:
    assert work(1, "tasks.tell_whether_close_pool_closes.delay()") == ["True"]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_tasks_run_after_a_soft_time_limit_has_interrupted_a_query(
    work: Work, in_transaction: bool
) -> None:
    told = work(
        21,
        f"tasks.sleep_beyond_the_limit.delay({in_transaction})\n"
        "for _ in range(20): tasks.tell_connection_id.delay()",
        pool={"pool_size": 1, "timeout": 2},
    )
    assert told[0] == "interrupted"
    assert len(told) == 21
    assert len(set(told[1:])) == 1
