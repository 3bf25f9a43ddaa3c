"""What ``manage.py pools`` prints."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..driver.slot import on_one_line
from .advice import Advice

#: How many loans are listed, those at work for longest first.
LISTED = 20
#: How much of a table's last column has to fit.
LEAST_OF_LAST = 24
#: What is printed where there is nothing to be seen.
NOBODY = (
    "No process of this site has used a pool on this host, or none that this user can "
    'see. It looks where POOLED_DB["STATE_DIR"] says; run it with the same settings '
    "and as the same user as the site."
)

#: Columns that a narrow terminal does without, the first ones first.
SPARE = (
    *("up", "program", "mean wait", "peak", "mean use", "connection", "oldest"),
    *("limit", "alias", "idle", "at work", "held for", "state"),
)

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Part:
    """Some lines that belong together. A table's first one is its head."""

    lines: list[str]
    is_table: bool = False
    is_wrong: bool = False


def text(seen: dict[str, Any], width: int | None = None) -> str:
    """Make text of an overview, no wider than *width* if that can be."""
    return "\n\n".join("\n".join(part.lines) for part in parts(seen, width))


def parts(seen: dict[str, Any], width: int | None) -> list[Part]:
    """Make the parts of the text of an overview."""
    if not seen["processes"]:
        return [_prose(NOBODY, width)]
    tables = [processes(seen), _loans(seen)]
    found = [_table(*table, width) for table in tables if table[1]]
    for alias, one in seen["servers"].items():
        found.append(_prose(_server(alias, one), width))
        if one["accounts"]:
            found.append(_table(*_accounts(one), width))
    found += [_prose(finding, width, is_wrong=True) for finding in seen["findings"]]
    return found


def _prose(words: str, width: int | None, *, is_wrong: bool = False) -> Part:
    lines = [words] if width is None else textwrap.wrap(words, width)
    return Part(lines, is_wrong=is_wrong)


def processes(seen: dict[str, Any]) -> Table:
    """One row for each process and alias, and one for all of an alias."""
    head = (
        *("pid", "program", "up", "alias", "limit", "in use", "at work", "idle"),
        *("waiting", "oldest", "peak", "refused", "mean wait", "mean use"),
    )
    rows: list[Sequence[str]] = []
    for process in seen["processes"]:
        # Not before it began: the clock may have been set back since.
        up = timedelta(seconds=max(0, int(time.time() - process["started"])))
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


def _loans(seen: dict[str, Any]) -> Table:
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
    return (
        f"The server of {alias!r}: {one['connected']} connections now, "
        f"{one['max_used']} at most, of {one['max_connections']} (max_connections); "
        f"{one['refused']} refused for want of room; {one['running']} threads running."
    )


def _accounts(one: dict[str, Any]) -> Table:
    rows = [
        (each["user"], each["host"], str(each["connections"]), str(each["at_work"]))
        for each in one["accounts"]
    ]
    return ("account", "host", "connections", "at work"), rows


def advice(one: Advice) -> str:
    """Make text of an advice."""
    if one.pool_size is not None:
        start = f"pool_size {one.pool_size} for each process"
    else:
        start = "the database is slow" if one.database_is_slow else "no advice"
    return f"{one.alias!r}: {start}. {one.reason}"


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> Part:
    """Lay a table out; where it is too wide, without what can be spared."""
    # Names of accounts and aliases may be anything.
    columns = [
        [on_one_line(cell) for cell in column]
        for column in zip(head, *rows, strict=True)
    ]
    for name in SPARE:
        if width is None or _width(columns) <= width:
            break
        columns = [column for column in columns if column[0] != name]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in zip(*columns, strict=True)
    ]
    return Part([cut(line.rstrip(), width) for line in lines], is_table=True)


def _width(columns: Sequence[Sequence[str]]) -> int:
    # The last one may be cut, but not to nothing.
    widths = [max(map(len, column)) for column in columns]
    return sum(widths[:-1]) + 2 * len(widths[:-1]) + min(widths[-1], LEAST_OF_LAST)


def cut(line: str, width: int | None) -> str:
    """Return *line*, with an ellipsis where it is too long."""
    if width is None or len(line) <= width:
        return line
    return line[: width - 1] + "…"


def terminal_size() -> os.terminal_size:
    """How large the terminal is; 80 x 24 if nobody has told it."""
    # Python 3.10 passes on the zeros of such a terminal.
    size = shutil.get_terminal_size()
    return os.terminal_size((size.columns or 80, size.lines or 24))
