"""What the dashboard's script is told, as JSON can hold it. Times are in seconds."""

from __future__ import annotations

import dataclasses
import re
import socket
import time
from typing import Any

from django.db import connections

from .. import conf, pools, state
from ..pool.host import Host, Process
from ..pool.reading import Held
from ..pool.stats import PoolStats
from ..watching import server_view
from ..watching.overview import numbers

#: A request as its label names it: method, route, view.
_REQUEST = re.compile(r"([A-Z]+) (\S+)(?: \((.+?)\)?)?", re.DOTALL)
NOT_USED_YET = "not used yet"


def snapshot() -> dict[str, Any]:
    """Look at the pools of this host."""
    told: dict[str, Any] = {
        "time": time.time(),
        "host": socket.gethostname(),
        "aliases": {},
        "problem": None,
    }
    try:
        host = state.look()
    except OSError as error:
        problem = f"The state of the processes cannot be read: {error}"
        return {**told, "problem": problem}
    if state.directory() is None:
        told["problem"] = (
            'POOLED_DB["STATE_DIR"] is None: no process tells of its pools.'
        )
    told["aliases"] = {
        alias: _alias(alias, host, stats) for alias, stats in host.totals().items()
    }
    return told


def _alias(alias: str, host: Host, stats: PoolStats) -> dict[str, Any]:
    processes = [process for process in host.processes if alias in process.pools]
    loans = [
        _loan(process, held)
        for process in processes
        for held in process.pools[alias].loans
    ]
    loans.sort(key=lambda loan: -loan["lent"])
    return {
        "stats": numbers(stats),
        "holders": _holders(loans),
        "loans": loans,
        "processes": [_process(process, alias) for process in processes],
        "settings": _settings(alias, processes),
    }


def _process(process: Process, alias: str) -> dict[str, Any]:
    stats = process.pools[alias].stats
    return {
        "pid": process.pid,
        "host": process.host,
        "program": process.program,
        "started": process.started,
        "in_use": stats.in_use,
        "at_work": stats.at_work,
        "idle": stats.idle,
        "limit": stats.limit,
        "waiting": stats.waiting,
        "refused": stats.refused,
    }


def _loan(process: Process, held: Held) -> dict[str, Any]:
    page, view = _page_and_view(held.who)
    return {
        "pid": process.pid,
        "connection_id": held.connection_id,
        "page": page,
        "view": view,
        "state": held.state,
        "lent": held.lent or 0.0,
        "rested": held.rested,
        "in_transaction": held.in_transaction,
    }


def _page_and_view(who: str) -> tuple[str, str]:
    """Take the label of a holder apart; what is no request is told as it is."""
    request = _REQUEST.fullmatch(who)
    if request is None:
        return who or NOT_USED_YET, ""
    return f"{request[1]} {request[2]}", request[3] or ""


def _holders(loans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count connections by who has them, the most first."""
    holders: dict[tuple[str, str], dict[str, Any]] = {}
    for loan in loans:
        who = loan["page"], loan["view"]
        nothing = {"at_work": 0, "others": 0, "longest": 0.0}
        holder = holders.setdefault(who, {"page": who[0], "view": who[1], **nothing})
        holder["at_work" if loan["state"] == "at work" else "others"] += 1
        holder["longest"] = max(holder["longest"], loan["lent"])
    return sorted(
        holders.values(),
        key=lambda one: (-(one["at_work"] + one["others"]), -one["longest"]),
    )


def _settings(alias: str, processes: list[Process]) -> list[dict[str, Any]]:
    """The options of a pool, where each is written, and who runs with another."""
    if not pools.is_pooled(alias):
        return []
    database = connections.settings[alias]
    mine = dataclasses.asdict(conf.pool_settings(alias, database))
    origins = conf.pool_origins(alias, database)
    return [
        {
            "name": name,
            "value": repr(value),
            "origin": origins.get(name, "default"),
            "others": [
                f"{theirs[name]!r} in process {process.pid}"
                for process in processes
                if name in (theirs := process.pools[alias].settings)
                and theirs[name] != value
            ],
        }
        for name, value in mine.items()
    ]


def server_snapshot() -> dict[str, Any]:
    """Ask the servers of the pools, unless somebody needs the connection more."""
    views = {alias: _server(alias) for alias in pools.pooled_aliases()}
    return {"time": time.time(), "aliases": views}


def _server(alias: str) -> dict[str, Any]:
    now = pools.for_alias(alias).stats()
    if now.waiting or now.in_use >= now.limit:
        return {"problem": "Not asked: every connection of this process is in use."}
    view = server_view.ask_pooled(alias)
    if view.error is not None:
        return {"problem": f"No answer: {view.error}."}
    return dataclasses.asdict(view)
