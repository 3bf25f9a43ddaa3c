"""All that there is to see of the pools of this host, in one structure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..pool.host import Host, ProcessPool
from ..pool.reading import Held
from ..pool.stats import PoolStats
from .server_view import ServerView

#: What the command ends with.
FINE, TOO_MUCH, NOBODY = 0, 1, 2


def numbers(stats: PoolStats) -> dict[str, Any]:
    """Make of *stats* what JSON knows."""
    return {**dataclasses.asdict(stats), "at_rest": stats.at_rest}


def overview(
    host: Host, servers: Mapping[str, ServerView], hosts: int = 1
) -> dict[str, Any]:
    """Put together what the processes and the servers say, for people and programs."""
    findings = find(host, servers, hosts)
    return {
        "status": status(host, findings),
        "findings": findings,
        "processes": [
            {
                "pid": process.pid,
                "host": process.host,
                "program": process.program,
                "started": process.started,
                "pools": {alias: _pool(pool) for alias, pool in process.pools.items()},
            }
            for process in host.processes
        ],
        "totals": {alias: numbers(stats) for alias, stats in host.totals().items()},
        "servers": {alias: dataclasses.asdict(one) for alias, one in servers.items()},
    }


def _pool(pool: ProcessPool) -> dict[str, Any]:
    return {
        **numbers(pool.stats),
        "loans": [loan(held) for held in pool.loans],
        "idle_connections": [
            held.connection_id for held in pool.connections if held.lent is None
        ],
        "settings": pool.settings,
    }


def loan(held: Held) -> dict[str, Any]:
    """Make of a connection that is lent what JSON knows."""
    return {**dataclasses.asdict(held), "state": held.state}


def find(host: Host, servers: Mapping[str, ServerView], hosts: int = 1) -> list[str]:
    """Say what is wrong: a pool that is overloaded, or more than the server takes."""
    totals = host.totals()
    findings = [
        f"{alias!r} is overloaded: {stats.waiting} wait, the first for "
        f"{stats.oldest_wait:.2f} s."
        for alias, stats in totals.items()
        if stats.overloaded
    ]
    for aliases in _of_one_server(servers):
        limit = hosts * sum(totals[one].limit for one in aliases if one in totals)
        most = servers[aliases[0]].max_connections
        if most and limit >= most:
            names = " and ".join(map(repr, aliases))
            are = "is" if len(aliases) == 1 else "are together"
            findings.append(
                f"{names} {are} over budget: {len(host.processes)} processes on each "
                f"of {hosts} hosts may open {limit} connections, and the server's "
                f"max_connections is {most}."
            )
    return findings


def _of_one_server(servers: Mapping[str, ServerView]) -> list[list[str]]:
    """Put the aliases together that lead to the same server, as it says itself."""
    found: dict[str, list[str]] = {}
    for alias, view in servers.items():
        found.setdefault(view.server, []).append(alias)
    return list(found.values())


def status(host: Host, findings: list[str]) -> int:
    """What the command ends with."""
    if not host.processes:
        return NOBODY
    return TOO_MUCH if findings else FINE
