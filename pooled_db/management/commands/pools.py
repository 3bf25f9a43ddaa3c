"""``manage.py pools``: the pools of all processes on this host."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ... import pools, state
from ...pool.host import Host
from ...watching import advice, overview, server_view, tables
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
            type=float,
            const=1.0,
            metavar="SECONDS",
            help="show it again and again, every second if not told otherwise",
        )
        parser.add_argument(
            "--advise",
            nargs="?",
            type=float,
            const=10.0,
            metavar="SECONDS",
            help="watch the load for 10 seconds, or so many, and say how large the "
            "pools should be",
        )
        parser.add_argument(
            "--hosts",
            type=int,
            default=1,
            help="on how many hosts as many processes run as on this one",
        )
        parser.add_argument(
            "--processes",
            type=int,
            help="how many processes there are to be on each host, for --advise",
        )
        parser.add_argument(
            "--no-server",
            action="store_true",
            help="do not ask the database server",
        )

    def handle(self, **options: Any) -> None:
        if state.directory() is None:
            raise CommandError(
                'POOLED_DB["STATE_DIR"] is None: no process tells of its pools.',
                returncode=overview.NOBODY,
            )
        if options["advise"] is not None:
            sys.exit(self._advise(options))
        if options["watch"] is not None:
            self._watch(options)
        else:
            sys.exit(self._show(options))

    def _show(self, options: Mapping[str, Any]) -> int:
        seen = self._look(options)
        if options["json"]:
            self.stdout.write(json.dumps(seen, default=str))
        else:
            self.stdout.write(tables.text(seen))
        status: int = seen["status"]
        return status

    def _look(self, options: Mapping[str, Any]) -> dict[str, Any]:
        host = state.look()
        servers = {} if options["no_server"] else _servers(host)
        return overview.overview(host, servers, options["hosts"])

    def _watch(self, options: Mapping[str, Any]) -> None:
        try:
            tables.watch(lambda: self._look(options), options["watch"], self.stdout)
        except KeyboardInterrupt:
            self.stdout.write("")

    def _advise(self, options: Mapping[str, Any]) -> int:
        if not state.look().processes:
            self.stderr.write(tables.NOBODY)
            return overview.NOBODY
        loads = advice.measure(state.look, options["advise"])
        servers = {} if options["no_server"] else _servers(state.look())
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
            told = [dataclasses.asdict(one) for one in advices]
            for one, given in zip(told, advices, strict=True):
                one["needed"] = given.load.needed
            self.stdout.write(json.dumps(told))
        else:
            for given in advices:
                self.stdout.write(tables.advice(given))
        return overview.FINE


def _servers(host: Host) -> dict[str, ServerView]:
    """What the servers of the aliases say that are in the settings, and pooled."""
    return {
        alias: server_view.ask(alias)
        for alias in host.totals()
        if pools.is_pooled_alias(alias)
    }
