"""What ``manage.py pools`` prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

from .advice import Advice

#: How many loans are listed, those at work for longest first.
LISTED = 20
#: Clears a terminal.
CLEAR = "\x1b[H\x1b[2J"

NOBODY = (
    "No process of this site has used a pool on this host, or none that this user can "
    'see. It looks where POOLED_DB["STATE_DIR"] says; run it with the same settings '
    "and as the same user as the site."
)


class Output(Protocol):
    def write(self, text: str) -> object: ...

    def flush(self) -> object: ...


def text(seen: dict[str, Any]) -> str:
    """Make text of an overview."""
    if not seen["processes"]:
        return NOBODY
    parts = [_table(*processes(seen))]
    loans = _loans(seen)
    if loans[1]:
        parts.append(_table(*loans))
    parts += [_server(alias, one) for alias, one in seen["servers"].items()]
    parts += seen["findings"]
    return "\n\n".join(parts)


def processes(seen: dict[str, Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """One row for each process and alias, and one for all of an alias."""
    head = (
        *("pid", "program", "up", "alias", "limit", "in use", "at work", "idle"),
        *("waiting", "oldest", "peak", "refused", "mean wait", "mean use"),
    )
    rows: list[Sequence[str]] = []
    for process in seen["processes"]:
        up = timedelta(seconds=int(time.time() - process["started"]))
        for alias, pool in process["pools"].items():
            who = (str(process["pid"]), process["program"], str(up))
            rows.append((*who, alias, *_numbers(pool)))
    for alias, total in seen["totals"].items():
        rows.append(("all", "", "", alias, *_numbers(total)))
    return head, rows


def _numbers(pool: dict[str, Any]) -> Sequence[str]:
    return (
        *(str(pool[key]) for key in ("limit", "in_use", "at_work", "idle", "waiting")),
        f"{pool['oldest_wait']:.2f} s" if pool["waiting"] else "",
        str(pool["peak"]),
        str(pool["refused"]),
        _mean(pool["waits"]),
        _mean(pool["uses"]),
    )


def _mean(histogram: dict[str, Any]) -> str:
    count = sum(histogram["counts"])
    return f"{histogram['sum'] / count * 1000:.1f} ms" if count else ""


def _loans(seen: dict[str, Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
    found = [
        (process["pid"], alias, loan)
        for process in seen["processes"]
        for alias, pool in process["pools"].items()
        for loan in pool["loans"]
    ]
    found.sort(key=lambda one: (one[2]["state"] != "at work", -one[2]["lent"]))
    head = ("pid", "alias", "connection", "held for", "state", "by")
    return head, [
        (
            str(pid),
            alias,
            str(loan["connection_id"]),
            f"{loan['lent']:.2f} s",
            loan["state"] + (", in transaction" if loan["in_transaction"] else ""),
            loan["who"] or "a request that has not used it yet",
        )
        for pid, alias, loan in found[:LISTED]
    ]


def _server(alias: str, one: dict[str, Any]) -> str:
    if one["error"]:
        return f"The server of {alias!r} cannot be asked: {one['error']}."
    line = (
        f"The server of {alias!r}: {one['connected']} connections now, "
        f"{one['max_used']} at most, of {one['max_connections']} (max_connections); "
        f"{one['refused']} refused for want of room; {one['running']} threads running."
    )
    rows = [
        (each["user"], each["host"], str(each["connections"]), str(each["at_work"]))
        for each in one["accounts"]
    ]
    head = ("account", "host", "connections", "at work")
    return f"{line}\n\n{_table(head, rows)}"


def advice(one: Advice) -> str:
    """Make text of an advice."""
    if one.pool_size is not None:
        start = f"pool_size {one.pool_size} for each process"
    else:
        start = "the database is slow" if one.database_is_slow else "no advice"
    return f"{one.alias!r}: {start}. {one.reason}"


def watch(look: Callable[[], dict[str, Any]], seconds: float, output: Output) -> None:
    """Show what *look* returns again and again, with rich if it is there."""
    try:
        from rich.live import Live
    except ImportError:
        while True:
            output.write(CLEAR + text(look()))
            output.flush()
            time.sleep(seconds)
    from rich.text import Text

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            live.update(Text(text(look())), refresh=True)
            time.sleep(seconds)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)
