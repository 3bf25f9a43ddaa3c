"""``manage.py pools``: the pools of all processes on this host."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from ... import pools, state
from ...pool.host import Host
from ...watching import advice, live, overview, server_view, tables
from ...watching.load import Load, measure
from ...watching.server_view import ServerView


class Command(BaseCommand):
    help = (
        "Shows the connection pools of all processes on this host, and what the server "
        "says. Ends with 0 if all is well, 1 if a pool is overloaded or all together "
        "may open more than the server takes, 2 if no process was found."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--watch",
            nargs="?",
            type=_seconds,
            const=1.0,
            metavar="SECONDS",
            help="show it again and again, every second if not told otherwise",
        )
        parser.add_argument(
            "--advise",
            nargs="?",
            type=_seconds,
            const=10.0,
            metavar="SECONDS",
            help="watch the load for 10 seconds, or so many, and say how large the "
            "pools should be",
        )
        parser.add_argument(
            "--hosts",
            type=_count,
            default=1,
            metavar="N",
            help="on how many hosts as many processes run as on this one",
        )
        parser.add_argument(
            "--processes",
            type=_count,
            metavar="N",
            help="how many processes there are to be on each host, for --advise",
        )
        parser.add_argument(
            "--no-server",
            action="store_true",
            help="do not ask the database server",
        )

    def handle(self, **options: Any) -> None:
        try:
            sys.exit(self._do(options))
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=overview.NOBODY) from error
        except BrokenPipeError:
            # Whoever read it has seen enough; Python would complain at the last flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _do(self, options: Mapping[str, Any]) -> int:
        if state.directory() is None:
            raise CommandError(
                'POOLED_DB["STATE_DIR"] is None: no process tells of its pools.',
                returncode=overview.NOBODY,
            )
        # Not every terminal has all characters of a route, nor an ellipsis.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        if options["advise"] is not None:
            return self._advise(options)
        if options["watch"] is not None:
            return self._watch(options)
        return self._show(options)

    def _show(self, options: Mapping[str, Any]) -> int:
        seen = self._look(options)
        if options["json"]:
            self.stdout.write(json.dumps(seen))
        else:
            width = tables.terminal_size().columns if self.stdout.isatty() else None
            self.stdout.write(tables.text(seen, width))
        status: int = seen["status"]
        return status

    def _look(self, options: Mapping[str, Any]) -> dict[str, Any]:
        host = _host()
        servers = {} if options["no_server"] else _servers(host)
        return overview.overview(host, servers, options["hosts"])

    def _watch(self, options: Mapping[str, Any]) -> int:
        try:
            while options["json"]:
                self._show(options)
                self.stdout.flush()
                time.sleep(options["watch"])
            self.stdout.ending = ""  # what moves the cursor is not a line
            live.watch(lambda: self._look(options), options["watch"], self.stdout)
        except KeyboardInterrupt:
            self.stdout.write("\n")
        return overview.FINE

    def _advise(self, options: Mapping[str, Any]) -> int:
        if not _host().processes:
            self.stderr.write(tables.NOBODY)
            return overview.NOBODY
        loads = _loads(options)
        servers = {} if options["no_server"] else _servers(_host())
        advices = [
            advice.advise(
                alias,
                load,
                processes=options["processes"],
                hosts=options["hosts"],
                max_connections=(
                    servers[alias].max_connections or None if alias in servers else None
                ),
            )
            for alias, load in loads.items()
        ]
        if options["json"]:
            told = [
                {**dataclasses.asdict(one), "needed": one.load.needed}
                for one in advices
            ]
            self.stdout.write(json.dumps(told))
        else:
            for given in advices:
                self.stdout.write(tables.advice(given))
        return overview.FINE


def _loads(options: Mapping[str, Any]) -> dict[str, Load]:
    """Watch the load, and what the servers do for it if they may be asked."""
    with contextlib.closing(server_view.Busy()) as busy:

        def ask(alias: str) -> frozenset[int] | None:
            return busy(alias) if pools.is_pooled(alias) else None

        asked = None if options["no_server"] else ask
        return measure(_host, options["advise"], ask=asked)


def _host() -> Host:
    try:
        return state.look()
    except OSError as error:
        raise CommandError(
            f"The state of the processes cannot be read: {error}",
            returncode=overview.NOBODY,
        ) from error


def _servers(host: Host) -> dict[str, ServerView]:
    """What the servers of the aliases say that are in the settings, and pooled."""
    return {
        alias: server_view.ask(alias)
        for alias in host.totals()
        if pools.is_pooled(alias)
    }


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
