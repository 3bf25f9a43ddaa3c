"""How an application server is set to run, where that can be known."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from types import FrameType
from typing import Any

#: What is read of gunicorn's settings, by its names for them.
_READ = ("workers", "threads", "worker_class")


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes there are, and how many requests each works on at once.

    ``None`` stands for what nobody says.
    """

    processes: int | None = None
    threads: int | None = None


def configured_workers(
    argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None
) -> Workers:
    """Return what the command line, the environment and gunicorn's file say.

    gunicorn's own classes read them, if they can be imported: the file that is named,
    or ``gunicorn.conf.py`` in the current directory, then ``GUNICORN_CMD_ARGS``, then
    the command line, if it is gunicorn's. What gunicorn would stop at says nothing.
    """
    argv = sys.argv if argv is None else argv
    environ = os.environ if environ is None else environ
    program = _program(argv)
    if program == "uvicorn":
        return Workers(
            _number(argv, "--workers") or _concurrency(environ) or 1,
            _number(argv, "--limit-concurrency"),
        )
    words = argv[1:] if program == "gunicorn" else ()
    config = _gunicorn_config(words, environ)
    if config is None:
        return Workers(_concurrency(environ))
    return Workers(config.workers, _threads(config))


def threads_of_this_process() -> int | None:
    """Return how many requests this process works on at once, if it is known.

    gunicorn itself is asked in its processes. To read its file again would run it in
    each worker: it may set up logging, or remove what the master has made.
    """
    if _gunicorn is not None:
        return None if _gunicorn.cfg is None else _threads(_gunicorn.cfg)
    return configured_workers().threads if _program(sys.argv) == "uvicorn" else None


def _gunicorn_that_imports() -> Any:
    """Return gunicorn's application, if it is about to load the site that asks.

    It stands in the frames of the thread that does so, and nothing else refers to it.
    To look for it from another thread by ``sys._current_frames`` can bring all threads
    to a standstill for good, if garbage is collected at that moment
    (https://github.com/python/cpython/issues/106883).
    """
    module = sys.modules.get("gunicorn.app.base")
    frame: FrameType | None = sys._getframe()
    while module is not None and frame is not None:
        application = frame.f_locals.get("self")
        if isinstance(application, module.BaseApplication):
            return application
        frame = frame.f_back
    return None


#: A site is loaded in the main thread of a worker, or of the master before it forks.
_gunicorn: Any = _gunicorn_that_imports()

#: The workers of gunicorn that work on as many requests as they have threads.
_WITH_THREADS = ("sync", "gthread")


def _threads(config: Any) -> int | None:
    threads: int = config.threads
    return threads if config.worker_class_str in _WITH_THREADS else None


def _gunicorn_config(words: Sequence[str], environ: Mapping[str, str]) -> Any:
    """Return gunicorn's ``Config``, or ``None`` if nothing is known of it."""
    try:
        gunicorn = import_module("gunicorn.config")
    except ImportError:
        return None
    try:
        return _read_by(gunicorn, words, environ)
    except (Exception, SystemExit):  # noqa: BLE001 - the file is anybody's program
        return None


def _read_by(gunicorn: Any, words: Sequence[str], environ: Mapping[str, str]) -> Any:
    in_environ = shlex.split(environ.get("GUNICORN_CMD_ARGS", ""))
    default_file = gunicorn.get_default_config_file()
    if not (words or in_environ or default_file):
        return None
    config = gunicorn.Config(prog="gunicorn")
    parser = config.parser()
    with contextlib.redirect_stderr(io.StringIO()):
        line, variable = (
            vars(parser.parse_args(given)) for given in (words, in_environ)
        )
    path = line["config"] or variable["config"] or default_file
    file = _read(path) if path else {}
    for source in ({"workers": _concurrency(environ)}, file, variable, line):
        for name in _READ:
            if source.get(name) is not None:
                config.set(name, source[name])
    return config


def _read(path: str) -> Mapping[str, Any]:
    """Run gunicorn's configuration file, as gunicorn does, and return its names."""
    if path.startswith("python:"):
        return vars(import_module(path.removeprefix("python:")))
    return runpy.run_path(path.removeprefix("file:"))


def _program(argv: Sequence[str]) -> str:
    if not argv:
        return ""
    path = PurePath(argv[0])
    # `python -m gunicorn` leaves .../gunicorn/__main__.py as the program.
    return path.parent.name if path.name == "__main__.py" else path.name


def _number(words: Sequence[str], wanted: str) -> int | None:
    """Return what the last option called *wanted* is set to, if it is a number."""
    value = None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, given = word.partition("=")
        if name == wanted:
            value = given if equals else following
    return _whole(value)


def _concurrency(environ: Mapping[str, str]) -> int | None:
    """How many processes gunicorn and uvicorn start, if they are not told otherwise."""
    return _whole(environ.get("WEB_CONCURRENCY"))


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() else None
