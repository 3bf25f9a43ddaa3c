"""How many threads an application server is set to run, where that can be known."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath


def threads_per_process(
    argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None
) -> int | None:
    """Return how many requests one process can work on at once, or ``None``.

    gunicorn says so in ``GUNICORN_CMD_ARGS`` and on its command line, which wins;
    uvicorn only with ``--limit-concurrency``. A configuration file is not read.
    """
    argv = sys.argv if argv is None else argv
    environ = os.environ if environ is None else environ
    words = shlex.split(environ.get("GUNICORN_CMD_ARGS", ""))
    program = _program(argv)
    if program == "uvicorn":
        return _number(argv[1:], "--limit-concurrency")
    if program == "gunicorn":
        words += argv[1:]
    if not words:
        return None
    kind = _value(words, "-k", "--worker-class") or "sync"
    threads = _number(words, "--threads")
    if kind not in ("sync", "gthread"):
        return None
    if any(word.split("=")[0] in ("-c", "--config") for word in words):
        return threads
    return threads or 1


def _program(argv: Sequence[str]) -> str:
    if not argv:
        return ""
    path = PurePath(argv[0])
    # `python -m gunicorn` leaves .../gunicorn/__main__.py as the program.
    return path.parent.name if path.name == "__main__.py" else path.name


def _value(words: Sequence[str], *names: str) -> str | None:
    """Return what the last of the options called *names* is set to."""
    value = None
    for word, following in zip(words, [*words[1:], None], strict=True):
        name, equals, given = word.partition("=")
        if name in names:
            value = given if equals else following
    return value


def _number(words: Sequence[str], *names: str) -> int | None:
    value = _value(words, *names)
    return int(value) if value is not None and value.isdecimal() else None
