"""What can be known of the application server's threads."""

from __future__ import annotations

import pytest
from django.db import connections

from pooled_db import checks
from pooled_db.workers import threads_per_process


@pytest.mark.parametrize(
    ("argv", "arguments", "threads"),
    [
        ("manage.py check", "", None),
        ("manage.py check", "--threads 32", 32),
        ("manage.py check", "--threads=32 -w 4", 32),
        ("manage.py check", "--workers 4", 1),
        ("manage.py check", "-k gthread --threads 8", 8),
        ("manage.py check", "-k uvicorn.workers.UvicornWorker", None),
        ("manage.py check", "-k gevent", None),
        ("manage.py check", "--config conf.py", None),
        ("manage.py check", "--threads many", 1),
        ("/venv/bin/gunicorn shop.wsgi --threads 16", "", 16),
        ("/venv/bin/gunicorn shop.wsgi --threads 16", "--threads 4", 16),
        ("/venv/bin/gunicorn shop.wsgi", "--threads 4", 4),
        ("/lib/gunicorn/__main__.py shop.wsgi --threads 16", "", 16),
        ("/venv/bin/gunicorn shop.wsgi", "", 1),
        ("/venv/bin/uvicorn shop.asgi:application", "", None),
        ("/venv/bin/uvicorn shop.asgi:application --limit-concurrency 99", "", 99),
        ("daphne shop.asgi:application", "", None),
    ],
)
def test_threads_are_known_or_silence_is_kept(
    argv: str, arguments: str, threads: int | None
) -> None:
    environ = {"GUNICORN_CMD_ARGS": arguments} if arguments else {}
    assert threads_per_process(argv.split(), environ) == threads


@pytest.mark.parametrize(
    ("threads", "pool_size", "ids"),
    [
        (None, 4, []),
        (1, 4, []),
        (4, 4, ["pooled_db.I002"]),
        (5, 4, []),
        (64, 4, []),
        (65, 4, ["pooled_db.I001"]),
    ],
)
def test_threads_that_do_not_fit_the_pool_are_pointed_out(
    monkeypatch: pytest.MonkeyPatch,
    threads: int | None,
    pool_size: int,
    ids: list[str],
) -> None:
    monkeypatch.setattr(checks, "threads_per_process", lambda: threads)
    options = {"pool": {"pool_size": pool_size}}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)

    assert [message.id for message in checks.check_threads()] == ids
