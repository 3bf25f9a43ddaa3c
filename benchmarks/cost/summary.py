"""The main figures of each contender in one line."""

from __future__ import annotations

from benchmarks.contenders import COSTING, SERVERS
from benchmarks.cost import medians
from benchmarks.cost.medians import Found, Groups
from benchmarks.report import NOTHING, Table

NEEDED = {"statements", "cycle", "cpu", "distance"}
FAR = "1 ms"

NOTE = (
    "One ORM query per request. Two figures are of gunicorn (WSGI) and uvicorn (ASGI)."
    " Cycle: a connection bound and given back in-process, without a query, in the best"
    f" round, the database server being on the same machine and {FAR} away. CPU: of the"
    " application server per request, relative to CONN_MAX_AGE=None, on a site without"
    " other middleware and on one as startproject makes it. Latency: the p50 of one"
    f" client, the database server being {FAR} away. `make bench`"
)

HEADINGS = (
    "contender",
    "statements",
    "new connections",
    "cycle",
    "CPU",
    "CPU, ordinary site",
    "latency",
)


def summary(found: Found) -> list[Table]:
    """One table, if all was measured that it takes."""
    if not found.keys() >= NEEDED:
        return []
    cpu, ordinary = (
        medians.relative(medians.cpu(found["cpu"].figures, site))
        for site in ("bare", "ordinary")
    )
    counted = found["statements"].figures
    links = medians.latency(found["distance"].figures)
    far: Groups = {server: links.get(f"{server}, {FAR}", {}) for server in SERVERS}
    cycle = medians.cycle(found["cycle"].figures)
    columns = (
        (medians.statements(counted), "{:.0f}"),
        (medians.connections(counted), "{:.0f}"),
        (cycle, "{:,.1f} us"),
        (cpu, "{:.2f}"),
        (ordinary, "{:.2f}"),
        (far, "{:.2f} ms"),
    )
    rows = [
        (contender.title, *(_cell(name, groups, form) for groups, form in columns))
        for name, contender in COSTING.items()
    ]
    return [Table("In short", HEADINGS, rows, NOTE)]


def _cell(name: str, groups: Groups, form: str) -> str:
    figures = [form.format(group[name]) for group in groups.values() if name in group]
    return " / ".join(figures) or NOTHING
