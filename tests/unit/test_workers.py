"""What can be known of the application server's processes and threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, Info
from django.db import connections

from pooled_db import checks, workers
from pooled_db.workers import (
    Workers,
    configured_workers,
    threads_of_this_process,
)
from tests.checking import AddDatabase

GUNICORN = "/venv/bin/gunicorn shop.wsgi"
UVICORN = "/venv/bin/uvicorn shop.asgi:application"
CHECK = "manage.py check"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory without gunicorn's file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "arguments", "processes", "threads"),
    [
        (CHECK, "", None, None),
        (CHECK, "--threads 32", 1, 32),
        (CHECK, "--threads=32 -w 4", 4, 32),
        (CHECK, "--workers 4", 4, 1),
        (CHECK, "-w4", 4, 1),
        (CHECK, "-k gthread --threads 8", 1, 8),
        (CHECK, "-k uvicorn.workers.UvicornWorker -w 3", 3, None),
        (CHECK, "-k gevent", 1, None),
        (CHECK, "--config missing.py", None, None),
        (CHECK, "--threads many", None, None),
        (CHECK, "--no-such-option", None, None),
        (f"{GUNICORN} --threads 16", "", 1, 16),
        (f"{GUNICORN} --threads 16", "--threads 4 -w 2", 2, 16),
        (GUNICORN, "--threads 4", 1, 4),
        ("/lib/gunicorn/__main__.py shop.wsgi --threads 16", "", 1, 16),
        (GUNICORN, "", 1, 1),
        (UVICORN, "", 1, None),
        (f"{UVICORN} --limit-concurrency 99 --workers 3", "", 3, 99),
        (f"{UVICORN} --workers=3", "", 3, None),
        ("daphne shop.asgi:application", "", None, None),
        ("", "", None, None),
    ],
)
def test_workers_are_known_or_silence_is_kept(
    argv: str, arguments: str, processes: int | None, threads: int | None
) -> None:
    environ = {"GUNICORN_CMD_ARGS": arguments} if arguments else {}

    assert configured_workers(argv.split(), environ) == Workers(processes, threads)


@pytest.mark.parametrize(
    ("argv", "processes", "threads"),
    [
        (CHECK, 6, None),
        (GUNICORN, 6, 1),
        (f"{GUNICORN} -w 2", 2, 1),
        (UVICORN, 6, None),
        (f"{UVICORN} --workers 2", 2, None),
    ],
)
def test_web_concurrency_is_how_many_processes_there_are_by_default(
    argv: str, processes: int, threads: int | None
) -> None:
    environ = {"WEB_CONCURRENCY": "6"}

    assert configured_workers(argv.split(), environ) == Workers(processes, threads)


def test_web_concurrency_that_is_no_number_says_nothing() -> None:
    assert configured_workers([], {"WEB_CONCURRENCY": "auto"}) == Workers()


def test_gunicorns_own_file_is_read(directory: Path) -> None:
    (directory / "gunicorn.conf.py").write_text("workers = 2 * 2 + 1\nthreads = 16\n")

    assert configured_workers([CHECK], {}) == Workers(5, 16)
    assert configured_workers([CHECK], {"WEB_CONCURRENCY": "9"}) == Workers(5, 16)
    environ = {"GUNICORN_CMD_ARGS": "--workers 3"}
    assert configured_workers([CHECK], environ) == Workers(3, 16)
    argv = [*GUNICORN.split(), "--threads", "4"]
    assert configured_workers(argv, environ) == Workers(3, 4)


def test_its_variable_is_read_where_python_has_no_command_line(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    environ = {"GUNICORN_CMD_ARGS": "--workers 5"}
    assert configured_workers(environ=environ) == Workers(5, 1)


@pytest.mark.parametrize("option", ["-c {}", "--config={}", "--config file:{}"])
def test_a_file_that_is_named_is_read_instead(directory: Path, option: str) -> None:
    (directory / "gunicorn.conf.py").write_text("workers = 5\nbind = ':80'\n")
    file = directory / "production.py"
    file.write_text("workers, worker_class = 7, 'gevent'\n")

    environ = {"GUNICORN_CMD_ARGS": option.format(file)}
    assert configured_workers([CHECK], environ) == Workers(7, None)
    argv = [*GUNICORN.split(), *option.format(file).split()]
    assert configured_workers(argv, {}) == Workers(7, None)
    elsewhere = {"GUNICORN_CMD_ARGS": "-c missing.py"}
    assert configured_workers(argv, elsewhere) == Workers(7, None)


def test_a_module_that_is_named_is_imported(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "settings_of_gunicorn.py").write_text("workers = 7\n")
    monkeypatch.syspath_prepend(directory)
    monkeypatch.delitem(sys.modules, "settings_of_gunicorn", raising=False)

    environ = {"GUNICORN_CMD_ARGS": "-c python:settings_of_gunicorn"}
    assert configured_workers([CHECK], environ) == Workers(7, 1)


@pytest.mark.parametrize(
    "text", ["raise SystemExit(3)", "1 / 0", "workers =", "workers = 'many'"]
)
def test_a_file_that_gunicorn_would_stop_at_says_nothing(
    directory: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "gunicorn.conf.py").write_text(text)

    assert configured_workers([CHECK], {}) == Workers()
    assert capsys.readouterr() == ("", "")


def test_without_gunicorn_nothing_is_known_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gunicorn.config", None)

    assert configured_workers([CHECK], {"GUNICORN_CMD_ARGS": "-w 3"}) == Workers()


def test_a_variable_or_directory_that_is_broken_says_nothing(directory: Path) -> None:
    environ = {"GUNICORN_CMD_ARGS": "--bind 'nowhere", "WEB_CONCURRENCY": "2"}
    assert configured_workers([CHECK], environ) == Workers(2)
    directory.rmdir()  # as a deployment removes that of the release before
    assert configured_workers(GUNICORN.split(), {}) == Workers()


@pytest.mark.parametrize(
    ("argv", "threads"),
    [
        (f"{UVICORN} --limit-concurrency 99", 99),
        ("/venv/bin/granian shop.wsgi:application --blocking-threads 64", None),
        ("/venv/bin/celery -A shop worker --pool threads", None),
        ("uwsgi", None),
        ("manage.py runserver", None),
        ("gunicorn shop.wsgi --threads 8", None),  # its master
    ],
)
def test_gunicorns_file_says_nothing_of_another_servers_threads(
    directory: Path, monkeypatch: pytest.MonkeyPatch, argv: str, threads: int | None
) -> None:
    (directory / "gunicorn.conf.py").write_text("threads = 16\n")
    monkeypatch.setattr(sys, "argv", argv.split())

    assert threads_of_this_process() == threads


def load_for_the_first_time() -> Any:
    """The module as a process has it that has just loaded its site."""
    spec = find_spec(workers.__name__)
    assert spec is not None
    assert spec.loader is not None
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    ("worker_class", "threads", "known"),
    [("sync", 1, 1), ("sync", 16, 16), ("gthread", 4, 4), ("gevent", 4, None)],
)
def test_the_gunicorn_that_loads_a_site_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, worker_class: str, threads: int, known: int | None
) -> None:
    monkeypatch.setattr(sys, "argv", ["shop/serve.py"])

    class Application(import_module("gunicorn.app.base").BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("worker_class", worker_class)
            self.cfg.set("threads", threads)

        def load(self) -> Any:
            return load_for_the_first_time()

    loaded = Application().load()

    assert loaded.threads_of_this_process() == known
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(loaded.threads_of_this_process).result() == known


def test_nothing_is_known_of_a_gunicorn_without_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", UVICORN.split())

    class Application(import_module("gunicorn.app.base").BaseApplication):  # type: ignore[misc]
        def do_load_config(self) -> None:
            """It comes to it later."""

        def load(self) -> Any:
            return load_for_the_first_time()

    assert Application().load().threads_of_this_process() is None


def test_a_gunicorn_that_loads_nothing_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where something of it is only imported."""
    monkeypatch.setattr(sys, "argv", f"{UVICORN} --limit-concurrency 99".split())
    import_module("gunicorn.app.base")
    assert load_for_the_first_time().threads_of_this_process() == 99


def test_nobody_looks_at_another_threads_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some Pythons stand still for good if they collect garbage meanwhile."""
    monkeypatch.delattr(sys, "_current_frames")
    import_module("gunicorn.workers.base")
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(threads_of_this_process).result() is None


NOBODY_WAITS = Info(
    "With 4 threads and 4 connections to 'default' in each process nobody ever waits "
    "for a connection: under overload requests queue in the application server, where "
    "none is refused in time.",
    hint=(
        "Run more threads than connections: four to sixteen times as many, or lower "
        "pool_size. Some threads are then always left to refuse requests."
    ),
    id="pooled_db.I002",
)
MOST_WAIT = Info(
    "65 threads share 4 connections to 'default' in each process: most of them can "
    "only wait.",
    hint="Raise pool_size if the server bears it, or run fewer threads.",
    id="pooled_db.I001",
)


@pytest.mark.parametrize(
    ("threads", "pool", "told"),
    [
        (None, {"pool_size": 4}, []),
        (1, {"pool_size": 4}, []),
        (4, {"pool_size": 0}, []),  # pooled_db.E001 says what is wrong
        (4, {"pool_size": 4}, [NOBODY_WAITS]),
        (4, {"pool_size": 3, "max_overflow": 1}, [NOBODY_WAITS]),
        (5, {"pool_size": 4}, []),
        (64, {"pool_size": 4}, []),
        (65, {"pool_size": 4}, [MOST_WAIT]),
        (65, {"pool_size": 3, "max_overflow": 1}, [MOST_WAIT]),
    ],
)
def test_threads_that_do_not_fit_the_pool_are_pointed_out(
    monkeypatch: pytest.MonkeyPatch,
    threads: int | None,
    pool: dict[str, int],
    told: list[CheckMessage],
) -> None:
    monkeypatch.setattr(checks, "configured_workers", lambda: Workers(1, threads))
    options = {"pool": pool}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)

    assert checks.check_threads() == told


def test_threads_are_compared_with_no_settings_that_are_wrong(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(checks, "configured_workers", lambda: Workers(1, 4))
    settings.POOLED_DB = {"ALIASES": 5}  # which pooled_db.E002 says

    assert checks.check_threads() == []


@pytest.mark.parametrize(
    ("aliases", "ids"),
    [
        (None, []),
        (["default", "other"], ["pooled_db.I002"]),
        (["default"], []),
        (["plain"], []),
    ],
)
def test_requests_queue_for_the_aliases_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    add_database: AddDatabase,
    aliases: list[str] | None,
    ids: list[str],
) -> None:
    add_database("plain", OPTIONS={"pool": False})
    for alias, size in (("default", 1), ("other", 2)):
        options = {"pool": {"pool_size": size}}
        monkeypatch.setitem(connections.settings[alias], "OPTIONS", options)
    monkeypatch.setattr(checks, "configured_workers", lambda: Workers(1, 2))
    settings.POOLED_DB = {"ALIASES": aliases}

    assert [message.id for message in checks.check_threads()] == ids
